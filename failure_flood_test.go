package pando_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
)

func TestConnectionsThatNeverUpgradePileUpInVain(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		s := w.newStage(nil)
		start := time.Now()
		var gone sync.WaitGroup
		for i := range 200 {
			conn := s.tcp(s.agent)
			if i%2 == 0 { // a request that does not end
				_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: agent\r\nUpgrade: websocket\r\n")
			}
			gone.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		}
		gone.Wait()
		if took := time.Since(start); took != headerTimeout {
			t.Errorf("they were there for %v", took)
		}
	})
}

func TestConnectionsThatNeverOpenPileUpToALimit(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		const limit = 20
		s := w.newStage(nil, pando.WithAdmission(pando.Admission{Unopened: limit}))
		creds := s.stranger(s.agent)
		start := time.Now()
		silent := make([]*raw, limit)
		for i := range silent {
			silent[i] = s.raw(creds, s.agent)
		}
		conn := s.tcp(s.agent)
		answer, _ := handshake(t, conn, s.agent.url, s.dialHeader(creds, s.agent, s.agent.url))
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("one more: %s, %v", answer.Status, answer.Header)
		}
		s.agent.log.wait(t, "connection refused", "peer", creds.AgentID, "reason", "too_many_unopened", "address", "127.0.0.9")
		for _, c := range silent {
			c.wantEnd("1008 no channel.open in time")
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("they were there for %v", took)
		}
		s.agent.log.wait(t, "connection closed before it was open", "peer", creds.AgentID, "reason", "no channel.open in time")
		for range limit { // there is room again, and one that opens gives its place back
			s.rawOpen(creds, s.agent)
		}
		s.rawOpen(creds, s.agent)
	})
}

func TestPeerWithTooManyChannelsIsRefused(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil, pando.WithAdmission(pando.Admission{PerPeer: 3}))
	creds, other := s.stranger(s.agent), s.stranger(s.agent)
	var last *raw
	for range 3 {
		last = s.rawOpen(creds, s.agent)
	}
	conn := s.tcp(s.agent)
	answer, _ := handshake(t, conn, s.agent.url, s.dialHeader(creds, s.agent, s.agent.url))
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s, %v", answer.Status, answer.Header)
	}
	s.agent.log.wait(t, "connection refused", "peer", creds.AgentID, "reason", "too_many_channels")
	s.rawOpen(other, s.agent)
	there := s.agent.lookup(t, last.id)
	_ = last.conn.Close()
	<-there.Done()
	s.rawOpen(creds, s.agent)
}

// Handshakes that are under way together all look before any of them is in; the
// limit holds all the same.
func TestPeerThatOpensManyChannelsAtOnceGetsNoMoreThanItsShare(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil, pando.WithAdmission(pando.Admission{PerPeer: 3}))
	creds := s.stranger(s.agent)
	conns := make([]*raw, 10)
	for i := range conns {
		conns[i] = s.raw(creds, s.agent)
		conns[i].id = newID()
	}
	for _, c := range conns {
		c.message("channel.open", openData)
	}
	var open, refused int
	for _, c := range conns {
		switch op, payload, err := c.readFrame(); {
		case err != nil:
			t.Error(err)
		case op == opText:
			open++
		case op == opClose && strings.HasPrefix(closeText(payload), "1013"):
			refused++
		}
	}
	if open != 3 || refused != 7 {
		t.Errorf("%d are open, %d were refused", open, refused)
	}
	s.agent.log.wait(t, "connection closed before it was open", "peer", creds.AgentID, "reason", "no more channels", "channel", "-")
}

func TestPeerThatSendsTooFastIsCutOff(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) { // where all that is sent at once is sent in no time
		t := w.t
		const limit = 1000 // the witness needs some of it
		s := w.newStage(nil, pando.WithLimits(pando.Limits{MessagesPerSecond: limit}))
		c := s.rawOpen(s.stranger(s.agent), s.agent)
		one := frame(0x80|opText, []byte(c.envelope(newID(), "response", "", c.self))) // what nobody waits for
		c.write(bytesTimes(one, 2*limit))
		c.wantEnd("1008 message rate limit exceeded")
		s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self, "code", "1008")
	})
}

// A Pando peer that is cut off takes it for the last word, and is not waited for.
func TestPandoPeerThatSendsTooFastIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		const limit = 1000
		s := w.newStage(nil, pando.WithLimits(pando.Limits{MessagesPerSecond: limit}))
		ch := s.friend(s.agent, "victim", nil).open(t, s.agent)
		there := s.agent.lookup(t, ch.ID())
		start := time.Now()
		for range 3 * limit {
			if _, err := ch.Send(within(t, patience), pando.Response, nil); err != nil {
				break
			}
		}
		for _, end := range []*pando.Channel{ch, there} {
			<-end.Done()
			if err := end.Err(); !errors.Is(err, pando.ErrLost) || !strings.Contains(err.Error(), "rate limit") {
				t.Errorf("error = %v", err)
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func bytesTimes(p []byte, n int) []byte { return []byte(strings.Repeat(string(p), n)) }

func TestFullHandlerQueueIsAnsweredOverloaded(t *testing.T) {
	t.Parallel()
	const concurrent, queued, more = 2, 10, 25
	release := make(chan struct{})
	s := onStage(t, func(a *node) {
		a.Handle("slow", func(context.Context, *pando.Message) (any, error) { <-release; return numbered{}, nil })
	}, pando.WithLimits(pando.Limits{Concurrency: concurrent, QueuedMessages: queued}))
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	there := s.agent.lookup(t, ch.ID())
	var ok, overloaded atomic.Int32
	var wg sync.WaitGroup
	ask := func(n int) {
		for range n {
			wg.Go(func() {
				_, err := ch.Request(within(t, patience), "slow", nil)
				switch {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, &pando.RemoteError{Code: "overloaded"}):
					overloaded.Add(1)
				default:
					t.Error(err)
				}
			})
		}
	}
	ask(concurrent)
	eventually(t, "handlers run", func() bool { return there.Info().Running == concurrent })
	ask(queued + more)
	eventually(t, "the rest is refused", func() bool { return overloaded.Load() == more })
	if i := there.Info(); i.Refused != more || i.Waiting != queued {
		t.Errorf("%+v", i)
	}
	close(release)
	wg.Wait()
	if ok.Load() != concurrent+queued {
		t.Errorf("%d were answered", ok.Load())
	}
	if i := ch.Info(); i.Reopened != 0 || i.State != pando.StateConnected {
		t.Errorf("%+v", i)
	}
	s.agent.log.wait(t, "request refused", "channel", ch.ID(), "peer", victim.ID(), "refused", "16")
}

func TestFloodOfEventsClosesItsChannelOnly(t *testing.T) {
	t.Parallel()
	release, seen := make(chan struct{}), make(chan struct{}, 100)
	s := onStage(t, func(a *node) {
		a.Handle(pando.Event, func(context.Context, *pando.Message) (any, error) {
			seen <- struct{}{}
			<-release
			return nil, nil
		})
	}, pando.WithLimits(pando.Limits{QueuedMessages: 10}))
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	c.message("event", "")
	<-seen
	for range 20 { // events have the room twice
		c.message("event", "")
	}
	id := c.message("channel.heartbeat", "")
	if m := c.next(); m.Meta.ReplyTo != id {
		t.Fatalf("it is over too early: %+v", m)
	}
	c.message("event", "")
	c.wantEnd("1013 handler queue is full")
	s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self, "code", "1013")
	close(release)
	if len(seen) != 0 {
		t.Errorf("%d events were handled after the end", len(seen))
	}
}

// A peer that asks and does not read the answers may cost memory up to the
// limits, and nobody any time.
func TestPeerThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(c *raw, there *pando.Channel){
		"answers": func(c *raw, _ *pando.Channel) {
			for range 64 {
				c.message("big", "")
			}
		},
		"events": func(c *raw, there *pando.Channel) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			for range 64 { // they wait for room, and the end of the channel ends them
				if _, err := there.Send(ctx, "event", big); err != nil {
					if errors.Is(err, pando.ErrTimeout) {
						c.t.Errorf("send: %v", err)
					}
					return
				}
			}
			c.t.Error("everything was sent to nobody")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) {
				t := w.t
				const outbound = 256 << 10
				s := w.newStage(func(a *node) {
					a.Handle("big", func(context.Context, *pando.Message) (any, error) { return big, nil })
				}, pando.WithLimits(pando.Limits{Outbound: outbound}))
				c := s.rawOpen(s.stranger(s.agent), s.agent)
				there := s.agent.lookup(t, c.id)
				start := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					ask(c, there)
				}()
				most := 0
				eventuallyWithin(t, time.Minute, "it is cut off", func() bool {
					most = max(most, there.Info().Outbound)
					return there.Err() != nil
				})
				<-done
				if most > 2*outbound+2*len(big.Text) {
					t.Errorf("%d bytes waited for a peer that does not read", most)
				}
				if took := time.Since(start); took > 45*time.Second {
					t.Errorf("cut off after %v", took)
				}
				s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self)
			})
		})
	}
}

type text struct {
	Text string `json:"text"`
}

var big = text{strings.Repeat("x", 60<<10)}

// What a slow reader does not take makes others wait that write to it, and only
// those; everything arrives in the end.
func TestSlowReaderGetsEverythingLate(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		s := w.newStage(nil, pando.WithLimits(pando.Limits{Outbound: 128 << 10}))
		c := s.rawOpen(s.stranger(s.agent), s.agent)
		there := s.agent.lookup(t, c.id)
		const all = 50
		sent := make(chan error, 1)
		go func() {
			for range all {
				if _, err := there.Send(within(t, 10*time.Minute), "event", big); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		start := time.Now()
		for range all {
			<-time.After(time.Second)
			if m := c.next(); m.Content.Type != "event" {
				t.Fatalf("%+v", m)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != all*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestInboxKeepsOrderAndEndsAfterItsMessages(t *testing.T) {
	t.Parallel()
	s := onStage(t, func(a *node) {
		a.Handle("talk", func(ctx context.Context, m *pando.Message) (any, error) {
			for n := range 50 {
				if _, err := m.Channel().Send(ctx, "said", numbered{n}); err != nil {
					return nil, err
				}
			}
			return numbered{}, nil
		}, pando.Ordered())
	})
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent, pando.WithInbox(100))
	if _, err := ch.Request(within(t, patience), "talk", nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Close(within(t, patience), "done"); err != nil {
		t.Fatal(err)
	}
	for want := range 50 {
		m, err := ch.Receive(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		var in numbered
		if err := m.Decode(&in); err != nil || in.N != want || m.Type != "said" {
			t.Fatalf("%s %d, want %d", m.Type, in.N, want)
		}
	}
	if _, err := ch.Receive(within(t, patience)); !errors.Is(err, pando.ErrClosed) {
		t.Errorf("after the last: %v", err)
	}
}

func TestInboxThatIsNotReadClosesItsChannel(t *testing.T) {
	t.Parallel()
	s := onStage(t, func(a *node) {
		a.Handle("talk", func(ctx context.Context, m *pando.Message) (any, error) {
			for n := range 30 {
				if _, err := m.Channel().Send(ctx, "said", numbered{n}); err != nil {
					return nil, err
				}
			}
			return &pando.Reply{Type: "said", Data: numbered{}}, nil
		})
	}, pando.WithTimeouts(pando.Timeouts{Wait: 50 * time.Millisecond}))
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent, pando.WithInbox(10))
	there := s.agent.lookup(t, ch.ID())
	if _, err := ch.Send(within(t, patience), "talk", nil); err != nil {
		t.Fatal(err)
	}
	<-ch.Done()
	victim.log.wait(t, "channel closed", "channel", ch.ID(), "peer", s.agent.ID(), "code", "1013", "reason", "inbox is full")
	for range 10 { // what there was room for is not lost
		if _, err := ch.Receive(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ch.Receive(within(t, patience)); err == nil || !strings.Contains(err.Error(), "inbox is full") {
		t.Errorf("the end of the inbox: %v", err)
	}
	<-there.Done()
	if err := there.Err(); !strings.Contains(fmt.Sprint(err), "inbox is full") {
		t.Errorf("the other end reads %v", err)
	}
}

func TestMessageThatIsTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	ch := s.friend(s.agent, "victim", nil).open(t, s.agent)
	for _, data := range []any{text{strings.Repeat("x", 1<<20)}, text{strings.Repeat("\x01", 200<<10)}} {
		if _, err := ch.Request(within(t, patience), "count", data); !errors.Is(err, pando.ErrTooLarge) {
			t.Errorf("error = %v", err)
		}
	}
	for _, data := range []any{[]int{1}, "text", make(chan int), []byte("{"), []byte("\xff")} {
		if _, err := ch.Request(within(t, patience), "count", data); !errors.Is(err, pando.ErrInvalid) {
			t.Errorf("%T: error = %v", data, err)
		}
	}
	if i := ch.Info(); i.Reopened != 0 || i.Outbound != 0 {
		t.Errorf("%+v", i)
	}
}
