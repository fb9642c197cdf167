package demo

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverySentenceHolds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report, err := Run(context.Background(), Options{Out: &out})
	if err != nil || !report.OK {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(report.Chapters) != 11 {
		t.Errorf("%d chapters", len(report.Chapters))
	}
	for _, c := range report.Chapters {
		if len(c.Steps) == 0 || !strings.Contains(out.String(), c.Title) {
			t.Errorf("chapter %q has %d steps, or is not told", c.Title, len(c.Steps))
		}
		for _, st := range c.Steps {
			if !st.OK || !strings.Contains(out.String(), "+ "+st.What) {
				t.Errorf("step %+v did not hold, or is not told", st)
			}
		}
	}
	if s := report.Second; s == nil || s.Sent < between*len(report.Chapters)/2 || s.Answered != s.Sent || s.WorstMS <= 0 {
		t.Errorf("the second channel: %+v", s)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours although none were wanted")
	}
}

// A story that cannot fail proves nothing: each of these breaks one sentence.
func TestABrokenSentenceIsNoticed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		chapter, says string
		intrude       func(t *testing.T, s *story)
	}{
		"second channel crashed": {"A permission is taken away", "1 restarts", func(t *testing.T, s *story) {
			if err := s.witness.channel.Crash("by the test"); err != nil {
				t.Error(err)
			}
		}},
		"second channel reset": {"A permission is taken away", "connection", func(t *testing.T, s *story) {
			if err := reset(s.wanda.conn()); err != nil {
				t.Error(err)
			}
		}},
		"second channel closed": {"They talk", "request ", func(t *testing.T, s *story) {
			closeChannel(t, s.witness.channel)
		}},
		"channel closed": {"They talk", "closed", func(t *testing.T, s *story) { closeChannel(t, s.channel) }},
		"permitted too early": {"Two have to say yes", "should not have", func(t *testing.T, s *story) {
			if err := s.allow(context.Background(), s.ada, s.bruno); err != nil {
				t.Error(err)
			}
		}},
		"permission kept": {"A permission is taken away", "should not have", func(_ *testing.T, s *story) {
			now := time.Now()
			s.forbidden.Store(&now)
		}},
		"inner text told": {"A handler panics", "says too much", func(_ *testing.T, s *story) {
			s.bruno.Handle("panic", func(context.Context, *pando.Message) (any, error) {
				return nil, &pando.RemoteError{Code: "handler_failed", Message: secret}
			})
		}},
		"handler healthy": {"A handler never returns", "should not have", func(_ *testing.T, s *story) {
			s.bruno.Handle("hang", func(context.Context, *pando.Message) (any, error) { return numbered{}, nil })
		}},
		"wrong answers": {"They talk", "asked for 1, answered 0", func(_ *testing.T, s *story) {
			s.bruno.Handle(pando.Request, func(context.Context, *pando.Message) (any, error) { return numbered{}, nil })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			report, err := Run(context.Background(), Options{Out: &out, Color: true, intrude: func(s *story, chapter string) {
				if chapter == c.chapter {
					c.intrude(t, s)
				}
			}})
			if err == nil || report.OK || report.Error == "" {
				t.Fatalf("nobody noticed:\n%s", out.String())
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if !strings.Contains(out.String(), "It did not hold") {
				t.Errorf("the story does not say so:\n%s", out.String())
			}
		})
	}
}

func closeChannel(t *testing.T, ch *pando.Channel) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := ch.Close(ctx, "by the test"); err != nil {
		t.Error(err)
	}
}

func TestAnInterruptedStoryLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, Options{intrude: func(_ *story, chapter string) {
		if chapter == "A handler never returns" {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("an interrupted story says that all held")
	}
}

func TestLinesFitIntoATerminal(t *testing.T) {
	t.Parallel()
	for _, l := range wrap(strings.Repeat("word and ", 40), 70) {
		if len(l) > 70 || l == "" {
			t.Errorf("line %q", l)
		}
	}
	for d, want := range map[time.Duration]string{
		1500 * time.Nanosecond: "2 µs", 1500 * time.Microsecond: "1.5 ms", 150 * time.Millisecond: "150 ms", 1500 * time.Millisecond: "1.50 s",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}
