package main

import (
	"errors"
	"math"
	"testing"

	"github.com/pando-agents/pando/bench/load"
)

func TestEverySystemAnswersOneQuestionAndAThousand(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pando-remote", "pando-local", "gws-rpc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, name)
			for _, actors := range []string{"1", "1000"} {
				// The caller checks that the text comes back.
				r, err := s.ask(t.Context(), "--actors", actors, "--warmup", "0s", "--window", "2s")
				if err != nil || r.Requests == 0 {
					t.Errorf("%s actors: %v, %+v", actors, err, r)
				}
			}
		})
	}
}

func TestAskIsJudgedAgainstNATSByTimeAndByProcessorTime(t *testing.T) {
	t.Parallel()
	c := askCase(16, 1)
	servers := []*server{{kind: kind{name: "nats"}}, {kind: kind{name: "pando-remote"}}, {kind: kind{name: "gws-rpc"}}}
	figures := make([][]figure, len(servers))
	for i, r := range []load.Report{
		{P50: 100, ServerCPU: 30, ClientCPU: 10}, {P50: 90, ServerCPU: 50, ClientCPU: 14}, {P50: 300, ServerCPU: 100, ClientCPU: 100},
	} {
		figures[i] = []figure{{r.P50, r}}
	}
	out := outcome{Results: append(summarise(c, servers, figures), c.derive(servers, figures)...)}
	byTime, byCPU := out.Results[1], out.Results[4]
	if math.Abs(byTime.Ratio-0.9) > 0.001 || byTime.Must != 1 || math.Abs(byCPU.Ratio-1.6) > 0.001 || byCPU.Must != 1 {
		t.Errorf("by time %+v, by processor time %+v", byTime, byCPU)
	}
	for _, i := range []int{0, 2, 3, 5} {
		if out.Results[i].Must != 0 {
			t.Errorf("%s, %s has a budget", out.Results[i].Case, out.Results[i].Server)
		}
	}
	if err := out.check(); !errors.Is(err, errOverBudget) {
		t.Errorf("1.6 times what NATS needs: %v", err)
	}
}
