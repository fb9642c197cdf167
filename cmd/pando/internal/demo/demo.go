// Package demo tells the story of what a channel survives, and checks every
// sentence of it: real agents in one process, on loopback, with an identity
// registry of their own. It needs no configuration and leaves nothing behind.
package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Options says how the story is told.
type Options struct {
	// Out gets the story as it happens; nil means that only the report tells.
	Out io.Writer
	// Color allows colours and symbols.
	Color bool
	// Logger gets what the agents and the identity registry log; default none.
	Logger *slog.Logger

	intrude func(s *story, chapter string) // tests break the story here
}

// Report is what happened, for programs.
type Report struct {
	OK       bool       `json:"ok"`
	Error    string     `json:"error,omitempty"`
	TookMS   float64    `json:"took_ms"`
	Chapters []*Chapter `json:"chapters"`
	Second   *Count     `json:"second_channel,omitempty"`
}

// Chapter is one thing that goes wrong, or right.
type Chapter struct {
	Title string  `json:"title"`
	Steps []*Step `json:"steps"`
	// Shows is what the steps prove, if they all held.
	Shows string `json:"shows"`
}

// Step is one sentence of the story, checked.
type Step struct {
	What   string  `json:"what"`
	Saw    string  `json:"saw,omitempty"`
	TookMS float64 `json:"took_ms"`
	OK     bool    `json:"ok"`
}

// heard is the chapter up to which the second channel is watched.
const heard = "And all the while"

// limit ends a story that hangs.
const limit = 30 * time.Second

// Run tells the story. The error is the first step that did not hold; the
// report is there in any case. It takes a few seconds and leaves no goroutine,
// socket or file behind.
func Run(ctx context.Context, o Options) (*Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the story took longer than %s", limit))
	defer cancel()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	s := &story{Options: o, page: page{out: o.Out, color: o.Color}, begun: time.Now(), never: make(chan struct{})}
	s.page.opening()
	err := s.tell(ctx)
	s.leave()
	s.report.OK = err == nil
	s.report.TookMS = milliseconds(time.Since(s.begun))
	if err != nil {
		s.report.Error = err.Error()
	}
	s.page.ending(&s.report)
	return &s.report, err
}

// tell goes through the chapters until one does not hold.
func (s *story) tell(ctx context.Context) error {
	for i, c := range []struct {
		title, lead, shows string
		play               func(context.Context) error
	}{
		{"The cast", "An identity registry, and four agents with a key each.", "", s.cast},
		{"Two have to say yes", "Ada wants to talk to Bruno. Nobody has allowed it yet.",
			"no channel without the permission of both sides.", s.permission},
		{"They talk", "Small requests, one after the other; then events.",
			"answers find their requests, and events keep their order.", s.talk},
		{"A handler panics", "Bruno has a bug: a request makes one of his handlers panic.",
			"a bug in a handler costs one message, and its details stay at home.", s.panics},
		{"A handler never returns", "Another of Bruno's handlers waits for something that never comes.",
			"a handler that hangs is given up at its deadline; the others go on.", s.hangs},
		{"The connection is cut", "Ada's TCP socket is reset while a request is under way.",
			"the channel comes back by itself; what is unknown is called unknown.", s.cut},
		{"A channel actor crashes", "At both ends the actor that owns the channel is made to panic.",
			"its successor goes on with the same connection, and nothing is lost.", s.crash},
		{"The root actor crashes", "The registry actor, which finds and starts channels, is made to panic.",
			"it is rebuilt from the channels; they do not notice.", s.crashRegistry},
		{"A permission is taken away", "Cleo has a valid token for Bruno. Before she uses it, Bruno changes his mind.",
			"a token alone opens nothing.", s.revoke},
		{heard, "Wanda's channel to the same Bruno carried numbered requests through all of this.",
			"what breaks on one channel stays on that channel.", s.second},
		{"The end", "Everybody leaves.", "an agent finishes what it has begun, then goes.", s.goodbye},
	} {
		s.chapter = &Chapter{Title: c.title, Shows: c.shows}
		s.report.Chapters = append(s.report.Chapters, s.chapter)
		s.page.chapter(i+1, c.title, c.lead)
		if s.intrude != nil {
			s.intrude(s, c.title)
		}
		if err := c.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		if err := s.witness.hear(ctx, between); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		s.page.shows(c.shows)
	}
	return nil
}

// step does one thing, measures it and tells it. What f saw is told below;
// what it returned as its time, if it did, counts instead of all that it took.
func (s *story) step(what string, f func() (saw string, took time.Duration, err error)) error {
	start := time.Now()
	saw, took, err := f()
	if took == 0 {
		took = time.Since(start)
	}
	st := &Step{What: what, Saw: saw, TookMS: milliseconds(took), OK: err == nil}
	if err != nil {
		st.Saw = err.Error()
		err = fmt.Errorf("%q did not hold: %w", what, err)
	}
	s.chapter.Steps = append(s.chapter.Steps, st)
	s.page.step(st, took)
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
