package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/pando-agents/pando/bench/load"
)

// benchCase is one thing that is measured.
type benchCase struct {
	name string
	unit string
	// mustRatio and must are the budgets of Pando: at most this share of the
	// floor's figure, and at most this figure. 0 means none.
	mustRatio, must float64
	// fresh starts the server anew for each measurement.
	fresh   bool
	measure func(context.Context, *server, plan) (figure, error)
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
	all                bool          // and not only the cases with a budget
}

// A quick run takes less than a minute for two servers, a full one less than
// ten for three. Many short rounds are better than few long ones: the shorter
// a round, the more alike are the conditions of the servers within it.
func quickPlan() plan {
	return plan{
		rounds: 5, warmup: 250 * time.Millisecond, window: 600 * time.Millisecond,
		idleRounds: 1, idleChannels: 9000, heartbeat: 8 * time.Second,
	}
}

func fullPlan() plan {
	return plan{
		rounds: 9, warmup: 400 * time.Millisecond, window: time.Second,
		idleRounds: 2, idleChannels: 9000, heartbeat: 30 * time.Second, all: true,
	}
}

const (
	perRequest = "µs CPU/request"
	perOpening = "µs CPU/opening"
	perChannel = "KiB/channel"
)

func (p plan) cases() []benchCase {
	all := []benchCase{
		steadyCase(1, 1, 128, 0),
		steadyCase(64, 1, 128, 0.9),
		steadyCase(64, 16, 128, 0.5),
		steadyCase(1, 1, 4096, 0),
		steadyCase(64, 1, 4096, 0.4),
		steadyCase(64, 16, 4096, 0),
		{name: "open and close", unit: perOpening, measure: measureOpen},
		{name: fmt.Sprintf("idle, %d channels", p.idleChannels), unit: perChannel, must: 11, fresh: true, measure: measureIdle},
	}
	var chosen []benchCase
	for _, c := range all {
		if p.all || c.mustRatio > 0 || c.must > 0 {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func steadyCase(channels, inFlight, payload int, must float64) benchCase {
	return benchCase{
		name:      fmt.Sprintf("%d × %d, %d B", channels, inFlight, payload),
		unit:      perRequest,
		mustRatio: must,
		measure: func(ctx context.Context, s *server, p plan) (figure, error) {
			var r load.Report
			err := s.runLoad(ctx, &r, "load",
				"--channels", strconv.Itoa(channels), "--in-flight", strconv.Itoa(inFlight), "--payload", strconv.Itoa(payload),
				"--warmup", p.warmup.String(), "--window", p.window.String())
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

func measureOpen(ctx context.Context, s *server, p plan) (figure, error) {
	var r load.Report
	err := s.runLoad(ctx, &r, "open", "--concurrency", "16", "--warmup", p.warmup.String(), "--window", p.window.String())
	return newFigure(r.ServerCPU, r, err)
}

func measureIdle(ctx context.Context, s *server, p plan) (figure, error) {
	var r load.IdleReport
	err := s.runLoad(ctx, &r, "idle", "--channels", strconv.Itoa(p.idleChannels),
		"--heartbeat", p.heartbeat.String(), "--rounds", "1")
	return newFigure(r.PerChannel/1024, r, err)
}
