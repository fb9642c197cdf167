package system

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/supervisor"
)

// Options are for everything that runs agents. The zero value is ready for use.
type Options struct {
	// Logger gets what agents log; default slog.Default().
	Logger *slog.Logger
	// Report is told what happens, one call at a time. It holds up the system and
	// so should not wait for long. Nil means nobody is told.
	Report func(Event)
	// Now is the clock of events; default time.Now.
	Now func() time.Time
}

// world is one process of a system: what its agents share.
type world struct {
	file       *File
	dir        string
	roster     *roster
	log        *slog.Logger
	report     func(Event)
	now        func() time.Time
	neighbours *pando.Neighbours // nil where each agent has a process
	apart      bool              // each has, and this one only watches them

	mu      sync.Mutex
	victims map[string]func() // agents to be killed once they say something
	awaited map[string]bool   // processes that do not take channels yet
	allUp   chan struct{}     // closed when there are none
}

func newWorld(f *File, dir string, o Options) *world {
	w := &world{file: f, dir: dir, log: o.Logger, report: o.Report, now: o.Now}
	if w.log == nil {
		w.log = slog.Default()
	}
	if w.now == nil {
		w.now = time.Now
	}
	return w
}

// tell reports an event. An agent that is to be killed while it works is killed
// when it says that it does.
func (w *world) tell(e Event) {
	if e.Time.IsZero() {
		e.Time = w.now()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.report != nil {
		w.report(e)
	}
	if w.awaited[e.Agent] && e.Kind == EventUp && e.PID == 0 && e.Actor == "" {
		w.arrived(e.Agent)
	}
	if kill := w.victims[e.Agent]; kill != nil && e.Kind == EventSays {
		w.victims[e.Agent] = nil // once
		if w.report != nil {
			w.report(Event{Time: w.now(), Kind: EventKilled, Agent: e.Agent})
		}
		kill()
	}
}

// arrived is called with the mutex held.
func (w *world) arrived(agent string) {
	delete(w.awaited, agent)
	if len(w.awaited) == 0 {
		close(w.allUp)
	}
}

// await makes up wait for a process.
func (w *world) await(agent string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awaited == nil {
		w.awaited, w.allUp = map[string]bool{}, make(chan struct{})
	}
	w.awaited[agent] = true
}

// up waits until all processes have been up, which a nil channel means too.
func (w *world) up(ctx context.Context) error {
	if w.allUp == nil {
		return nil
	}
	select {
	case <-w.allUp:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not all agents have started: %w", context.Cause(ctx))
	}
}

func (w *world) ids(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, w.roster.Agents[n].ID)
	}
	return all
}

// endpoints are the URLs of the agents other than one, by id.
func (w *world) endpoints(but string) map[string]string {
	all := map[string]string{}
	for name, s := range w.roster.Agents {
		if name != but && s.Endpoint != "" {
			all[s.ID] = s.Endpoint
		}
	}
	return all
}

// shutdown is how long an agent may take to stop: it drains for up to 10 s.
const shutdown = 20 * time.Second

// runTree runs agents as children of one supervisor until ctx ends, or one cannot
// be started at all. ready is called when all have been started.
func (w *world) runTree(ctx context.Context, children []supervisor.Spec, ready func(context.Context) error) error {
	tree := supervisor.New(supervisor.Options{
		Name: w.file.Name, Children: children, Logger: w.log,
		// An agent may be killed as often as anybody likes: it is started again,
		// more and more slowly.
		Budget: supervisor.Budget{Failures: -1}, Backoff: supervisor.Backoff{Max: 5 * time.Second},
	})
	events, unsubscribe := tree.Subscribe(1024)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for e := range events {
			w.treeEvent(e)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan error, 1)
	go func() {
		select {
		case <-tree.Ready():
			if ready != nil {
				asked <- ready(ctx)
				cancel()
				return
			}
		case <-ctx.Done():
		}
		asked <- nil
	}()
	err := tree.Serve(ctx)
	cancel()
	if e := <-asked; e != nil && err == nil {
		err = e
	}
	unsubscribe()
	<-told
	return err
}

// treeEvent reports what happens to agents, and to actors that fail.
func (w *world) treeEvent(e supervisor.Event) {
	_, path, inside := strings.Cut(e.Supervisor, "/")
	out := Event{Time: e.At, Agent: e.Child}
	if inside {
		agent, under, _ := strings.Cut(path, "/")
		if under != "actors" {
			return // its channels
		}
		out.Agent, out.Actor = agent, e.Child
	}
	why := ""
	if e.Reason != nil {
		why = oneLine(e.Reason)
	}
	switch e.Kind {
	case supervisor.Failed:
		out.Kind, out.Text = EventDown, why+", starts again"
		if e.Delay >= time.Millisecond {
			out.Text += fmt.Sprintf(" in %v", e.Delay.Round(time.Millisecond))
		}
	case supervisor.Started:
		if e.Generation == 1 && inside || !inside && w.process(e.Child) {
			return // the start of its agent, or process, is told
		}
		out.Kind, out.Text = EventUp, "runs"
		if e.Generation > 1 {
			out.Text = fmt.Sprintf("runs again (life %d)", e.Generation)
		}
	case supervisor.GaveUp, supervisor.Abandoned:
		out.Kind, out.Text = EventGone, why
	case supervisor.Stopped, supervisor.Ended:
		if inside {
			return
		}
		out.Kind, out.Text = EventStopped, why
	default:
		return
	}
	w.tell(out)
}

// process reports whether an agent is a process of its own.
func (w *world) process(agent string) bool {
	a := w.file.Agent(agent)
	return w.apart || a != nil && a.External
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
