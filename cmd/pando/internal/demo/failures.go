package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/supervisor"
)

// begin sends a request that Bruno will not answer before he is let.
func (s *story) begin(ctx context.Context, n int) (answer chan error) {
	answer = make(chan error, 1)
	go func() { answer <- ask(ctx, s.channel, "slow", n) }()
	return answer
}

// underWay waits until Bruno's handler has the request that was begun.
func (s *story) underWay(ctx context.Context) (slowCall, error) {
	select {
	case c := <-s.slow:
		return c, nil
	case <-ctx.Done():
		return slowCall{}, context.Cause(ctx)
	}
}

// there returns Bruno's end of Ada's channel.
func (s *story) there(ctx context.Context) (*pando.Channel, error) {
	all, err := s.bruno.ChannelsWith(ctx, s.ada.ID())
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("there are %d channels with Ada at Bruno, not one", len(all))
	}
	return all[0], nil
}

// unharmed checks that neither end has restarted or reconnected more often than
// these times.
func (s *story) unharmed(ctx context.Context, restarts, reopened uint64) error {
	there, err := s.there(ctx)
	if err != nil {
		return err
	}
	for end, i := range map[string]pando.ChannelInfo{"Ada's": s.channel.Info(), "Bruno's": there.Info()} {
		if i.Restarts != restarts || i.Reopened != reopened {
			return fmt.Errorf("%s end restarted %d times (%d expected) and reconnected %d times (%d expected)",
				end, i.Restarts, restarts, i.Reopened, reopened)
		}
	}
	return nil
}

// next is the step that shows that the channel is still good.
func (s *story) next(ctx context.Context, what, saw string, restarts, reopened uint64) error {
	return s.step(what, func() (string, time.Duration, error) {
		start := time.Now()
		if err := ask(ctx, s.channel, pando.Request, 42); err != nil {
			return "", 0, err
		}
		took := time.Since(start)
		return saw, took, s.unharmed(ctx, restarts, reopened)
	})
}

func (s *story) panics(ctx context.Context) error {
	err := s.step("Ada is told that the handler failed, and nothing else", func() (string, time.Duration, error) {
		_, err := s.channel.Request(ctx, "panic", nil)
		if err := wanted(err, &pando.RemoteError{Code: "handler_failed"}); err != nil {
			return "", 0, err
		}
		var remote *pando.RemoteError
		errors.As(err, &remote)
		if strings.Contains(err.Error(), secret) || remote.ID == "" {
			return "", 0, fmt.Errorf("the answer says too much, or has no id: %w", err)
		}
		return fmt.Sprintf("code %s, and an id for Bruno's log: %.8s...", remote.Code, remote.ID), 0, nil
	})
	if err != nil {
		return err
	}
	return s.next(ctx, "The next request works", "same connection, same actor", 0, 0)
}

func (s *story) hangs(ctx context.Context) error {
	err := s.step("Ada gets an answer all the same, at Bruno's deadline", func() (string, time.Duration, error) {
		_, err := s.channel.Request(ctx, "hang", nil)
		return fmt.Sprintf("code handler_timeout; Bruno's deadline is %s here, 30 s otherwise", span(handlerTimeout)), 0,
			wanted(err, &pando.RemoteError{Code: "handler_timeout"})
	})
	if err != nil {
		return err
	}
	return s.step("The next request works, while the handler still hangs", func() (string, time.Duration, error) {
		start := time.Now()
		if err := ask(ctx, s.channel, pando.Request, 43); err != nil {
			return "", 0, err
		}
		took := time.Since(start)
		there, err := s.there(ctx)
		if err != nil {
			return "", 0, err
		}
		if n := there.Info().Hanging; n != 1 {
			return "", 0, fmt.Errorf("%d handlers hang at Bruno, not one", n)
		}
		return "it is counted as abandoned, and its place was given to another", took, s.unharmed(ctx, 0, 0)
	})
}

func (s *story) cut(ctx context.Context) error {
	var cutAt time.Time
	err := s.step("The request under way fails at once: outcome unknown", func() (string, time.Duration, error) {
		answer := s.begin(ctx, 5)
		call, err := s.underWay(ctx)
		if err != nil {
			return "", 0, err
		}
		defer close(call.release)
		cutAt = time.Now()
		if err := reset(s.ada.conn()); err != nil {
			return "", 0, err
		}
		err = <-answer
		return "Bruno may have carried it out or not: Pando does not guess, and does not send it twice",
			time.Since(cutAt), wanted(err, pando.ErrOutcomeUnknown)
	})
	if err != nil {
		return err
	}
	return s.step("From the cut to the next answer", func() (string, time.Duration, error) {
		if err := ask(ctx, s.channel, pando.Request, 44); err != nil {
			return "", 0, err
		}
		took := time.Since(cutAt)
		return "a new connection, with a new proof; the same channel", took, s.unharmed(ctx, 0, 1)
	})
}

// reset closes a TCP connection with RST: no goodbye, what is under way is gone.
func reset(c net.Conn) error {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("the connection is a %T, not TCP", c)
	}
	return errors.Join(tcp.SetLinger(0), tcp.Close())
}

func (s *story) crash(ctx context.Context) error {
	socket := s.ada.conn()
	err := s.step("From the crash to the answer of the request that was under way", func() (string, time.Duration, error) {
		there, err := s.there(ctx)
		if err != nil {
			return "", 0, err
		}
		restarted, stop := s.watch(s.ada, "agent/channels", s.channel.Key())
		defer stop()
		restartedThere, stopThere := s.watch(s.bruno, "agent/channels", there.Key())
		defer stopThere()
		answer := s.begin(ctx, 6)
		call, err := s.underWay(ctx)
		if err != nil {
			return "", 0, err
		}
		start := time.Now()
		if err := errors.Join(s.channel.Crash("on purpose"), there.Crash("on purpose")); err != nil {
			return "", 0, err
		}
		if err := errors.Join(restarted(ctx), restartedThere(ctx)); err != nil {
			return "", 0, err
		}
		close(call.release)
		if err := <-answer; err != nil {
			return "", 0, err
		}
		return "both actors were restarted by their supervisors in between", time.Since(start), nil
	})
	if err != nil {
		return err
	}
	return s.step("The next request works, on the same socket", func() (string, time.Duration, error) {
		start := time.Now()
		if err := ask(ctx, s.channel, pando.Request, 45); err != nil {
			return "", 0, err
		}
		took := time.Since(start)
		if s.ada.conn() != socket {
			return "", 0, errors.New("it is another socket")
		}
		return "", took, s.unharmed(ctx, 1, 1)
	})
}

// watch returns a function that waits until a child of an agent has failed and
// has been started again.
func (s *story) watch(p *player, supervisorPath, child string) (restarted func(context.Context) error, stop func()) {
	events, stop := p.Events(64)
	return func(ctx context.Context) error {
		failed := false
		for {
			select {
			case e := <-events:
				if e.Supervisor != supervisorPath || e.Child != child {
					continue
				}
				failed = failed || e.Kind == supervisor.Failed
				if failed && e.Kind == supervisor.Started {
					return nil
				}
			case <-ctx.Done():
				return fmt.Errorf("%s was not restarted: %w", child, context.Cause(ctx))
			}
		}
	}, stop
}

func (s *story) crashRegistry(ctx context.Context) error {
	err := s.step("From the crash to the restart, at both agents", func() (string, time.Duration, error) {
		ada, stopAda := s.watch(s.ada, "agent", "registry")
		defer stopAda()
		bruno, stopBruno := s.watch(s.bruno, "agent", "registry")
		defer stopBruno()
		start := time.Now()
		if err := errors.Join(s.ada.CrashRegistry(), s.bruno.CrashRegistry()); err != nil {
			return "", 0, err
		}
		err := errors.Join(ada(ctx), bruno(ctx))
		return "", time.Since(start), err
	})
	if err != nil {
		return err
	}
	err = s.step("The new one knows every channel", func() (string, time.Duration, error) {
		start := time.Now()
		ch, err := s.ada.Lookup(ctx, s.channel.ID())
		if err != nil {
			return "", 0, err
		}
		took := time.Since(start)
		if ch != s.channel {
			return "", 0, errors.New("it knows another channel")
		}
		all, err := s.bruno.Channels(ctx)
		if err == nil && len(all) != 2 {
			err = fmt.Errorf("there are %d channels at Bruno, not two", len(all))
		}
		return "Bruno's two and Ada's one", took, err
	})
	if err != nil {
		return err
	}
	return s.next(ctx, "The next request works", "no channel was touched", 1, 1)
}
