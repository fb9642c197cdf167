// Package cut measures how long a channel is away when its connection breaks.
// An agent in this process opens one channel to an agent in another, by way of
// a TCP relay that resets the connection, again and again.
package cut

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pando-agents/pando"
)

// Options says whom to call and how often to cut.
type Options struct {
	URL         string // ws://host:port/path
	Target      string // agent id of the server
	Credentials pando.Credentials
	Cuts        int // at least 1
	Logger      *slog.Logger
}

// Report is what Run has measured: the time from the cut to the first request
// answered on the same channel, in milliseconds.
type Report struct {
	Cuts int     `json:"cuts"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	// Unknown counts the requests that were written and then lost with their
	// connection; they were made again.
	Unknown int `json:"outcome_unknown"`
}

// Err returns nil: what fails ends the run.
func (r *Report) Err() error { return nil }

const (
	// redial is the longest back-off. A connection that has lasted for as long
	// begins the series anew, and the first attempt follows at once: so each
	// cut finds the channel as one that has been open for long.
	redial = 100 * time.Millisecond
	// quiet is how long the channel is left alone between two cuts.
	quiet = redial + 50*time.Millisecond
	// patience bounds everything that is done once.
	patience = 20 * time.Second
)

// Run opens a channel, cuts it as often as the options say, and closes it.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if o.Cuts < 1 {
		return report, errors.New("the number of cuts must be above 0")
	}
	var r relay
	defer r.stop()
	agent, err := pando.New(o.Credentials, pando.WithLogger(o.Logger),
		pando.WithNetwork(pando.Network{Dial: r.dial}),
		pando.WithBackoff(pando.Backoff{Initial: redial, Max: redial}))
	if err != nil {
		return report, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(running) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	opening, done := context.WithTimeout(ctx, patience)
	defer done()
	ch, err := agent.Open(opening, o.Target, o.URL)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, ch.Close(ctx, "measured")) }()
	report, err = cutAll(ctx, ch, &r, o.Cuts)
	return report, err
}

func cutAll(ctx context.Context, ch *pando.Channel, r *relay, cuts int) (Report, error) {
	report := Report{Cuts: cuts}
	if err := report.answered(ctx, ch); err != nil {
		return report, err
	}
	times := make([]time.Duration, 0, cuts)
	for i := range cuts {
		timer := time.NewTimer(quiet)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return report, ctx.Err()
		}
		begin := time.Now()
		if n := r.cut(); n != 1 {
			return report, fmt.Errorf("cut %d: %d connections, want 1", i+1, n)
		}
		if err := report.answered(ctx, ch); err != nil {
			return report, fmt.Errorf("cut %d: %w", i+1, err)
		}
		times = append(times, time.Since(begin))
		if n := ch.Info().Reopened; n != uint64(i+1) {
			return report, fmt.Errorf("cut %d: the channel came back %d times", i+1, n)
		}
	}
	slices.Sort(times)
	at := func(q float64) float64 { return times[int(q*float64(cuts-1)+0.5)].Seconds() * 1000 }
	report.P50, report.P99, report.Max = at(0.5), at(0.99), at(1)
	return report, nil
}

// answered makes a request until it is answered. A request that was written to
// the connection that broke may be lost with it: the caller is told, and here
// asks again.
func (r *Report) answered(ctx context.Context, ch *pando.Channel) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := ch.Request(ctx, pando.Request, struct {
			Text string `json:"text"`
		}{"are you there"})
		if !errors.Is(err, pando.ErrOutcomeUnknown) {
			return err
		}
		r.Unknown++
	}
}
