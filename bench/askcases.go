package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

// askSuite is request and reply between processes: what an Ask costs with an
// actor that is far away.
func askSuite() suite {
	return suite{
		name: "ask", plan: askPlan, cases: askCases,
		usual: func(p plan) []string {
			names := []string{"nats", "pando-remote", "gws-rpc", "pando-local"}
			if _, err := pythonInterpreter(); err == nil && p.all {
				names = append(names, "python")
			}
			return names
		},
	}
}

func askPlan(quick bool) plan {
	if quick {
		return plan{rounds: 3, warmup: 200 * time.Millisecond, window: 500 * time.Millisecond}
	}
	return plan{rounds: 7, warmup: 300 * time.Millisecond, window: time.Second, all: true}
}

func askCases(plan) []benchCase {
	all := []benchCase{askCase(1, 1), askCase(16, 1), askCase(64, 1), askCase(1, manyActors)}
	last := &all[len(all)-1]
	last.mustRatio, last.derived.mustRatio = 0, 0
	last.servers = []string{"nats", "pando-remote", "gws-rpc", "pando-local"} // Python's agents have no actors
	return all
}

// askCase measures the time of a call, and what all processes together spend on
// it.
func askCase(inFlight, actors int) benchCase {
	name := fmt.Sprintf("%d in flight", inFlight)
	if actors > 1 {
		name = fmt.Sprintf("one to %d", actors)
	}
	return benchCase{
		name: name, unit: "µs, p50", base: "nats", subject: "pando-remote", mustRatio: 1,
		measure: func(ctx context.Context, s *server, p plan) (figure, error) {
			r, err := s.ask(ctx, "--in-flight", strconv.Itoa(inFlight), "--actors", strconv.Itoa(actors),
				"--warmup", p.warmup.String(), "--window", p.window.String())
			return newFigure(r.P50, r, err)
		},
		derived: &derivedCase{
			name: name + ", CPU", unit: "µs CPU/call", mustRatio: 1,
			value: func(report any) float64 {
				r := report.(load.Report)
				return r.ServerCPU + r.ClientCPU
			},
		},
	}
}

// ask runs the caller of this kind of server, from the same program.
func (s *server) ask(ctx context.Context, args ...string) (r load.Report, err error) {
	pids := []string{strconv.Itoa(s.cmd.Process.Pid)}
	for _, pid := range s.ready.PIDs {
		pids = append(pids, strconv.Itoa(pid))
	}
	args = append([]string{"call-" + s.kind.name, "--url", s.ready.URL, "--pids", strings.Join(pids, ","),
		"--target", s.ready.Target, "--credentials", s.ready.Callers["Ed25519"]}, args...)
	cmd := exec.CommandContext(ctx, s.cmd.Path, args...)
	cmd.Stderr = os.Stderr
	if s.kind.command != nil { // that program knows no callers
		if cmd.Path, err = os.Executable(); err != nil {
			return r, err
		}
	}
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("asking %s: %w", s.kind.name, err)
	}
	return r, json.Unmarshal(out, &r)
}
