package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pando-agents/pando"
)

const (
	pace = 2 * time.Millisecond
	// between is how many more answers each chapter waits for, so that the
	// second channel is in use whatever has just happened.
	between = 50
	// late is when an answer counts as late. Loopback needs well under a
	// millisecond; a busy machine may keep a whole process waiting for longer.
	late = time.Second
)

// Count is what the second channel went through while the first one suffered.
type Count struct {
	Sent     int     `json:"sent"`
	Answered int     `json:"answered"`
	WorstMS  float64 `json:"worst_ms"`
	Restarts uint64  `json:"restarts"`
	Reopened uint64  `json:"reopened"`
}

// witness sends a numbered request at a steady pace and expects its number back.
type witness struct {
	channel *pando.Channel
	beats   chan struct{} // one for each answer, if somebody listens
	stop    chan struct{}
	done    chan struct{}

	count Count // to be read after done
	err   error
}

func (s *story) startWitness(ctx context.Context) error {
	ch, err := s.wanda.Open(ctx, s.bruno.ID(), s.url)
	if err != nil {
		return err
	}
	s.witness = &witness{channel: ch, beats: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	go s.witness.watch(context.WithoutCancel(ctx))
	s.exits = append(s.exits, s.witness.end)
	return nil
}

// end stops the counting, any number of times.
func (w *witness) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	<-w.done
}

func (w *witness) watch(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 1; w.err == nil; n++ {
		w.err = w.ask(ctx, n)
		select {
		case w.beats <- struct{}{}:
		default:
		}
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
	}
}

// hear waits for n more answers while the counting goes on.
func (w *witness) hear(ctx context.Context, n int) error {
	if w == nil {
		return nil // not on the stage yet
	}
	for range n {
		select {
		case <-w.beats:
		case <-w.done:
			return w.err // nil when its time is over
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (w *witness) ask(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, late)
	defer cancel()
	w.count.Sent++
	start := time.Now()
	if err := ask(ctx, w.channel, pando.Request, n); err != nil {
		return fmt.Errorf("request %d: %w", n, err)
	}
	w.count.Answered++
	w.count.WorstMS = max(w.count.WorstMS, milliseconds(time.Since(start)))
	return nil
}

// second is the chapter in which the witness is heard.
func (s *story) second(ctx context.Context) error {
	w := s.witness
	return s.step("None was lost, nothing reconnected; the worst answer took", func() (string, time.Duration, error) {
		w.end()
		there, err := s.bruno.ChannelsWith(ctx, s.wanda.ID())
		if err != nil {
			return "", 0, err
		}
		if len(there) != 1 {
			return "", 0, fmt.Errorf("there are %d channels with Wanda at Bruno, not one", len(there))
		}
		for _, ch := range []*pando.Channel{w.channel, there[0]} {
			w.count.Restarts += ch.Info().Restarts
			w.count.Reopened = max(w.count.Reopened, ch.Info().Reopened) // both ends see the same
		}
		s.report.Second = &w.count
		if w.err == nil && (w.count.Restarts > 0 || w.count.Reopened > 0) {
			w.err = errors.New("the channel was disturbed")
		}
		saw := fmt.Sprintf("%d requests sent, %d answered, none later than %s; %d restarts, %d reconnections",
			w.count.Sent, w.count.Answered, late, w.count.Restarts, w.count.Reopened)
		if w.err != nil {
			w.err = fmt.Errorf("%s: %w", saw, w.err)
		}
		return saw, time.Duration(w.count.WorstMS * float64(time.Millisecond)), w.err
	})
}
