package system_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/system"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// speaker is an actor that answers questions, with the help of another one if it
// knows one.
type speaker interface{ isSpeaker() }

type ask struct {
	actors.Reply[system.Answer]
	Text string `json:"text"`
}

func (ask) isSpeaker() {}

type speakerConfig struct {
	Says string
	Asks system.Address
	Fail string
	Lazy bool
}

type parrot struct {
	says string
	asks actors.Ref[speaker]
	far  bool
	host *system.Host
}

func (p *parrot) Receive(_ *actors.Context[speaker], m speaker) {
	q := m.(ask)
	p.host.Say("is asked %s", q.Text)
	if !p.far {
		q.Send(system.Answer{Text: p.says + " " + q.Text})
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		a, err := actors.Ask(ctx, p.asks, func(r actors.Reply[system.Answer]) speaker { return ask{r, q.Text} })
		if errors.Is(err, pando.ErrShuttingDown) {
			err = &pando.RemoteError{Code: protocol.CodeShuttingDown, Message: "until soon"}
		}
		if err != nil {
			q.Fail(err)
			return
		}
		q.Send(system.Answer{Text: p.says + " " + a.Text})
	}()
}

func speakers() *system.Catalogue {
	c := new(system.Catalogue)
	protocol := remote.NewProtocol[speaker](remote.Message[ask](system.AskType))
	system.Register(c, "test.speaker", "says something", func(ctx context.Context, h *system.Host, c speakerConfig) error {
		if c.Fail != "" {
			return fmt.Errorf("no: %s", c.Fail)
		}
		if c.Lazy {
			return nil
		}
		p := &parrot{says: c.Says, host: h, far: !c.Asks.IsZero()}
		if p.far {
			var err error
			if p.asks, err = system.RefTo(h, c.Asks, protocol); err != nil {
				return err
			}
		}
		_, err := system.Spawn(ctx, h, actors.Spec[speaker]{New: func() actors.Actor[speaker] { return p }}, protocol)
		return err
	})
	return c
}

// load loads a file with this text; each PORT becomes a free one.
func load(t *testing.T, text string) *system.File {
	t.Helper()
	for strings.Contains(text, "PORT") {
		text = strings.Replace(text, "PORT", strconv.Itoa(freePort(t)), 1)
	}
	path := filepath.Join(t.TempDir(), "system.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := system.Load(path, speakers())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// watch collects events and tells of each.
type watch struct {
	t  *testing.T
	mu sync.Mutex
	c  *sync.Cond
	l  []system.Event
}

func newWatch(t *testing.T) *watch {
	w := &watch{t: t}
	w.c = sync.NewCond(&w.mu)
	return w
}

func (w *watch) options() system.Options { return system.Options{Logger: quiet(), Report: w.event} }

func (w *watch) event(e system.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.l = append(w.l, e)
	w.c.Broadcast()
}

// wait returns the first event that is wanted, from the one with that number on.
func (w *watch) wait(from int, wanted func(system.Event) bool) (system.Event, int) {
	w.t.Helper()
	late := time.AfterFunc(time.Minute, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.l = append(w.l, system.Event{Kind: "late"})
		w.c.Broadcast()
	})
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := from; ; i++ {
		for i >= len(w.l) {
			w.c.Wait()
		}
		if w.l[i].Kind == "late" {
			w.t.Fatalf("it did not come; there were %+v", w.l)
		}
		if wanted(w.l[i]) {
			return w.l[i], i
		}
	}
}

func kind(agent, kind string) func(system.Event) bool {
	return func(e system.Event) bool { return e.Agent == agent && e.Kind == kind }
}
