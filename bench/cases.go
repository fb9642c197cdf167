package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/pando-agents/pando/bench/cut"
	"github.com/pando-agents/pando/bench/load"
)

// benchCase is one thing that is measured.
type benchCase struct {
	name string
	unit string
	// mustRatio and must are the budgets of Pando: at most this share of the
	// floor's figure, and at most this figure. 0 means none.
	mustRatio, must float64
	// servers names those that are measured; none means all.
	servers []string
	// fresh starts the server anew for each measurement.
	fresh bool
	// once measures in one round: the measurement repeats itself.
	once bool
	// base and subject are the servers whose ratio mustRatio limits; by default
	// floor and pando.
	base, subject string
	measure       func(context.Context, *server, plan) (figure, error)
	// derived, if set, is a second figure from the same measurements.
	derived *derivedCase
}

// derivedCase is a figure that a report has besides the first. Servers for
// which it is 0 have none.
type derivedCase struct {
	name, unit      string // unit by default that of the case
	must, mustRatio float64
	value           func(report any) float64
}

// figure is one measurement. Value is what servers are compared by; less is
// better.
type figure struct {
	Value  float64 `json:"value"`
	Report any     `json:"report"`
}

// plan says how long to measure.
type plan struct {
	rounds, idleRounds int
	warmup, window     time.Duration
	idleChannels       int
	heartbeat          time.Duration // also how long idle channels are held
	cuts               int
	all                bool // and not only the cases with a budget
}

// A quick run takes less than a minute for two servers, a full one less than
// ten for four. Many short rounds are better than few long ones: the shorter
// a round, the more alike are the conditions of the servers within it.
func quickPlan() plan {
	return plan{
		rounds: 5, warmup: 200 * time.Millisecond, window: 500 * time.Millisecond,
		idleRounds: 1, idleChannels: 9000, heartbeat: 6 * time.Second,
	}
}

func fullPlan() plan {
	return plan{
		rounds: 7, warmup: 300 * time.Millisecond, window: 800 * time.Millisecond,
		idleRounds: 2, idleChannels: 9000, heartbeat: 20 * time.Second, cuts: 60, all: true,
	}
}

const (
	perRequest = "µs CPU/request"
	perOpening = "µs CPU/opening"
	perChannel = "KiB/channel"
	perCut     = "ms, p50"
)

// idleSettled is the case of memory after garbage collection.
const idleSettled = "idle, settled"

// The servers of the cases in which not all are worth measuring.
var (
	unlikeHandlers = []string{"floor", "pando", "python"} // the handler has no part in it
	unlikeVerifier = []string{"floor", "pando"}           // Python's takes any token
)

func (p plan) cases() []benchCase {
	all := []benchCase{
		steadyCase(1, 1, 128, 0),
		steadyCase(64, 1, 128, 0.9),
		steadyCase(64, 16, 128, 0.5),
		steadyCase(64, 16, 128, 0, "--write-each"),
		steadyCase(1, 1, 4096, 0),
		steadyCase(64, 1, 4096, 0.4),
		steadyCase(64, 16, 4096, 0),
		{name: "open, bearer", unit: perOpening, servers: unlikeHandlers, measure: measureOpen("")},
		{name: "open, Ed25519", unit: perOpening, servers: unlikeVerifier, measure: measureOpen("Ed25519")},
		{name: "open, RSA", unit: perOpening, servers: unlikeVerifier, measure: measureOpen("RSA")},
		{name: "idle, as left", unit: perChannel, fresh: true,
			servers: unlikeHandlers, measure: measureIdle, derived: &derivedCase{
				name: idleSettled, must: 11,
				value: func(report any) float64 { return report.(load.IdleReport).Settled / 1024 },
			}},
		{name: "cut to re-open", unit: perCut, servers: []string{"pando"}, once: true, measure: measureCut},
	}
	var chosen []benchCase
	for _, c := range all {
		if p.all || c.mustRatio > 0 || c.derived != nil {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func steadyCase(channels, inFlight, payload int, must float64, flags ...string) benchCase {
	name := fmt.Sprintf("%d × %d, %d B", channels, inFlight, payload)
	if len(flags) > 0 {
		name += ", each"
	}
	return benchCase{
		name:      name,
		unit:      perRequest,
		mustRatio: must,
		measure: func(ctx context.Context, s *server, p plan) (figure, error) {
			var r load.Report
			args := append([]string{"--channels", strconv.Itoa(channels), "--in-flight", strconv.Itoa(inFlight),
				"--payload", strconv.Itoa(payload), "--warmup", p.warmup.String(), "--window", p.window.String()}, flags...)
			err := s.runLoad(ctx, &r, "load", args...)
			return newFigure(r.ServerCPU, r, err)
		},
	}
}

// newFigure refuses what cannot be compared: processor time is counted in
// steps of 10 ms, so that a short window on a stalled machine may have none.
func newFigure(value float64, report any, err error) (figure, error) {
	if err == nil && value <= 0 {
		err = fmt.Errorf("measured %v: the window is too short", value)
	}
	return figure{value, report}, err
}

// measureOpen opens channels with a bearer token, or, for a kind of key, with a
// token that is bound to one and a new proof for each channel. A server that
// verifies nothing is dialled as ever: it is what the verification is compared
// with.
func measureOpen(key string) func(context.Context, *server, plan) (figure, error) {
	return func(ctx context.Context, s *server, p plan) (figure, error) {
		args := []string{"--concurrency", "16", "--warmup", p.warmup.String(), "--window", p.window.String()}
		if file := s.ready.Callers[key]; file != "" {
			args = append(args, "--credentials", file, "--target", s.ready.Target)
		}
		var r load.Report
		err := s.runLoad(ctx, &r, "open", args...)
		return newFigure(r.ServerCPU, r, err)
	}
}

func measureCut(ctx context.Context, s *server, p plan) (figure, error) {
	var r cut.Report
	err := s.runLoad(ctx, &r, "cut", "--cuts", strconv.Itoa(p.cuts),
		"--credentials", s.ready.Callers["Ed25519"], "--target", s.ready.Target)
	return newFigure(r.P50, r, err)
}

func measureIdle(ctx context.Context, s *server, p plan) (figure, error) {
	var r load.IdleReport
	err := s.runLoad(ctx, &r, "idle", "--channels", strconv.Itoa(p.idleChannels),
		"--heartbeat", p.heartbeat.String(), "--rounds", "1")
	return newFigure(r.PerChannel/1024, r, err)
}
