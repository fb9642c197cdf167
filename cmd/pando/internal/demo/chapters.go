package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pando-agents/pando"
)

// ask sends a numbered request and checks that the number comes back.
func ask(ctx context.Context, ch *pando.Channel, messageType string, n int) error {
	m, err := ch.Request(ctx, messageType, numbered{n})
	if err != nil {
		return err
	}
	var got numbered
	if err := m.Decode(&got); err != nil {
		return err
	}
	if got.N != n {
		return fmt.Errorf("asked for %d, answered %d", n, got.N)
	}
	return nil
}

func (s *story) cast(ctx context.Context) error {
	err := s.step("The identity registry starts, with its own keys and certificates", func() (string, time.Duration, error) {
		return "", 0, s.openRegistry(ctx)
	})
	if err != nil {
		return err
	}
	return s.step("Ada, Bruno, Wanda and Cleo make a key each, register and run", func() (string, time.Duration, error) {
		if err := s.register(ctx); err != nil {
			return "", 0, err
		}
		var err error
		for _, p := range []struct {
			name string
			to   **player
			opts []pando.Option
			net  pando.Network
		}{
			{name: "ada", to: &s.ada},
			{name: "bruno", to: &s.bruno, opts: []pando.Option{pando.WithTimeouts(pando.Timeouts{Handler: handlerTimeout})}},
			{name: "wanda", to: &s.wanda},
			{name: "cleo", to: &s.cleo, net: pando.Network{Dial: s.changeMind}},
		} {
			if *p.to, err = s.enter(ctx, p.name, p.net, p.opts...); err != nil {
				return "", 0, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		s.teach()
		if err := s.open(); err != nil {
			return "", 0, err
		}
		return fmt.Sprintf("the registry is at %s, Bruno at %s", s.registryURL, s.url), 0, nil
	})
}

func (s *story) permission(ctx context.Context) error {
	err := s.step("Ada dials Bruno and is refused", func() (string, time.Duration, error) {
		start := time.Now()
		_, err := s.ada.Open(ctx, s.bruno.ID(), s.url)
		return "", time.Since(start), wanted(err, pando.ErrRefused)
	})
	if err != nil {
		return err
	}
	err = s.step("Both permit it: the channel opens", func() (string, time.Duration, error) {
		if err := s.allow(ctx, s.ada, s.bruno); err != nil {
			return "", 0, err
		}
		start := time.Now()
		var err error
		s.channel, err = s.ada.Open(ctx, s.bruno.ID(), s.url)
		return "a token from the registry, a proof of Ada's key, a WebSocket, the opening of the channel", time.Since(start), err
	})
	if err != nil {
		return err
	}
	return s.step("Wanda opens a second channel and begins to count", func() (string, time.Duration, error) {
		if err := s.allow(ctx, s.wanda, s.bruno); err != nil {
			return "", 0, err
		}
		start := time.Now()
		err := s.startWitness(ctx)
		return fmt.Sprintf("a numbered request every %d ms, from now on", pace.Milliseconds()), time.Since(start), err
	})
}

// wanted turns the failure that has to happen into a success.
func wanted(err, want error) error {
	switch {
	case err == nil:
		return errors.New("it went well, and should not have")
	case !errors.Is(err, want):
		return fmt.Errorf("the wrong failure: %w", err)
	}
	return nil
}

func (s *story) talk(ctx context.Context) error {
	const requests, events = 1000, 200
	err := s.step(fmt.Sprintf("%d requests are answered, half of them within", requests), func() (string, time.Duration, error) {
		took := make([]time.Duration, requests)
		for n := range took {
			start := time.Now()
			if err := ask(ctx, s.channel, pando.Request, n); err != nil {
				return "", 0, err
			}
			took[n] = time.Since(start)
		}
		slices.Sort(took)
		return fmt.Sprintf("99 of 100 within %s", span(took[requests*99/100])), took[requests/2], nil
	})
	if err != nil {
		return err
	}
	return s.step(fmt.Sprintf("%d events arrive in the order in which they were sent", events), func() (string, time.Duration, error) {
		for n := range events {
			if _, err := s.channel.Send(ctx, pando.Event, numbered{n}); err != nil {
				return "", 0, err
			}
		}
		for n := range events {
			select {
			case got := <-s.events:
				if got != n {
					return "", 0, fmt.Errorf("number %d came when it was the turn of %d", got, n)
				}
			case <-ctx.Done():
				return "", 0, context.Cause(ctx)
			}
		}
		return "", 0, nil
	})
}

// changeMind is how Cleo dials: when she has her token and wants to connect for
// the first time, Bruno's permission is taken away.
func (s *story) changeMind(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.forbidden.Load() == nil {
		if err := s.forbid(ctx, s.bruno, s.cleo); err != nil {
			return nil, err
		}
		now := time.Now()
		s.forbidden.Store(&now)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func (s *story) revoke(ctx context.Context) error {
	err := s.step("Her token is good for 30 minutes, and she is refused", func() (string, time.Duration, error) {
		if err := s.allow(ctx, s.cleo, s.bruno); err != nil {
			return "", 0, err
		}
		_, err := s.cleo.Open(ctx, s.bruno.ID(), s.url)
		at := s.forbidden.Load()
		if at == nil {
			return "", 0, fmt.Errorf("she never got as far as dialling: %w", err)
		}
		return "from the change of mind to the refusal: Bruno asks the registry about a token that is new to him",
			time.Since(*at), wanted(err, pando.ErrRefused)
	})
	if err != nil {
		return err
	}
	return s.step("The permission is given again: she is let in", func() (string, time.Duration, error) {
		if err := s.permit(ctx, s.bruno, s.cleo); err != nil {
			return "", 0, err
		}
		start := time.Now()
		ch, err := s.cleo.Open(ctx, s.bruno.ID(), s.url)
		if err != nil {
			return "", 0, err
		}
		err = ask(ctx, ch, pando.Request, 7)
		return "", time.Since(start), err
	})
}

func (s *story) goodbye(ctx context.Context) error {
	return s.step("Bruno drains: a request under way is answered, then he goes", func() (string, time.Duration, error) {
		answer := s.begin(ctx, 11)
		call, err := s.underWay(ctx)
		if err != nil {
			return "", 0, err
		}
		gone := make(chan error, 1)
		start := time.Now()
		go func() { gone <- s.bruno.Shutdown(ctx) }()
		// New work is refused from now on; only then the old is let go.
		for ctx.Err() == nil {
			err := ask(ctx, s.channel, pando.Request, 12)
			if errors.Is(err, &pando.RemoteError{Code: "shutting_down"}) {
				break
			}
			if err != nil {
				return "", 0, fmt.Errorf("a request during the drain: %w", err)
			}
		}
		close(call.release)
		if err := errors.Join(<-answer, <-gone, s.bruno.wait()); err != nil {
			return "", 0, err
		}
		select {
		case <-s.channel.Done():
			return "new requests were answered shutting_down meanwhile", time.Since(start), nil
		case <-ctx.Done():
			return "", 0, context.Cause(ctx)
		}
	})
}
