package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/supervisor"
)

// UpOptions say how a whole system is run.
type UpOptions struct {
	Options
	// Dir keeps the credentials and the identity registry from one run to the
	// next. Empty: all of it is gone at the end.
	Dir string
	// Processes runs each agent in a process of its own, by the command Self
	// followed by "run", the file, "--agent", its name, "--dir", a directory, and
	// "--json".
	Processes bool
	Self      []string
	// Ask is a question: Up ends when it has been answered.
	Ask string
	// Kill names agents that are killed once, when they first say something:
	// processes by SIGKILL, others without being drained.
	Kill []string
}

// Up runs all agents of a system on this machine, with an identity registry of
// their own unless the file names one. It returns when ctx has ended and all
// agents have been drained, or with the answer to the question.
//
// Agents of one process reach each other through memory. An agent that has an
// endpoint to be reached at and none in the file gets a free port of loopback.
func Up(ctx context.Context, f *File, o UpOptions) (answer string, err error) {
	for _, name := range o.Kill {
		if f.Agent(name) == nil {
			return "", fmt.Errorf("agent %s: %w", name, ErrNoAgent)
		}
	}
	if o.Ask != "" && f.Ask.IsZero() {
		return "", errCannotAsk
	}
	dir, keep := o.Dir, o.Dir != ""
	if keep {
		dir, err = makeDir(dir)
	} else {
		dir, err = os.MkdirTemp("", "pando-system-")
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err != nil {
		return "", err
	}
	w := newWorld(f, dir, o.Options)
	registry, err := w.upRegistry(ctx, keep)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, registry.close()) }()
	if err := w.settle(ctx, registry, o.Processes); err != nil {
		return "", err
	}
	children, done, err := w.children(ctx, &o)
	defer done()
	if err != nil {
		return "", err
	}
	var job func(context.Context) error
	if o.Ask != "" {
		job = func(ctx context.Context) (err error) {
			if err = w.up(ctx); err == nil {
				answer, err = w.ask(ctx, o.Ask)
			}
			return err
		}
	}
	err = w.runTree(ctx, children, job)
	return answer, err
}

// upRegistry runs the registry of the system, if it has one of its own.
func (w *world) upRegistry(ctx context.Context, keep bool) (*ownRegistry, error) {
	if w.file.Registry.URL != "" {
		return nil, nil
	}
	listen := "127.0.0.1:0"
	if keep {
		listen = w.file.Registry.Listen // credentials name it
	}
	registry, err := openRegistry(ctx, w.file, w.dir, listen, keep, w.log)
	if err != nil {
		return nil, err
	}
	w.tell(Event{Kind: EventRegistry, Text: "https://" + registry.addr})
	return registry, nil
}

// settle gives each agent its place and registers all of them.
func (w *world) settle(ctx context.Context, registry *ownRegistry, processes bool) error {
	if w.apart = processes; !processes {
		w.neighbours = pando.NewNeighbours()
	}
	seats := map[string]seat{}
	for _, a := range w.file.Agents {
		s := seat{Endpoint: a.Endpoint, Listen: a.Listen}
		switch {
		case a.Endpoint != "" && (processes || a.External || w.meetsExternal(a)):
		case !processes && !a.External && !w.meetsExternal(a):
			s = seat{} // through memory only
		default:
			var err error
			if s.Listen, err = freeAddress(ctx); err != nil {
				return err
			}
			s.Endpoint = "ws://" + s.Listen + "/ws"
		}
		seats[a.Name] = s
	}
	listen := ""
	if registry != nil {
		listen = registry.addr
	}
	base, err := w.file.base(w.dir, listen)
	if err != nil {
		return err
	}
	w.roster, err = (&enrolment{file: w.file, dir: w.dir, base: base, log: w.log}).enrol(ctx, seats)
	return err
}

// meetsExternal reports whether an agent talks to one that is not in this
// process whatever happens.
func (w *world) meetsExternal(a *Agent) bool {
	return slices.ContainsFunc(a.TalksTo, func(name string) bool { return w.file.Agent(name).External })
}

// freeAddress finds an address of loopback that nobody listens at.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// children makes the child of each agent that is ours to run.
func (w *world) children(ctx context.Context, o *UpOptions) (all []supervisor.Spec, done func(), err error) {
	var ways []*wayIn
	done = func() {
		for _, way := range ways {
			way.close()
		}
	}
	w.victims = map[string]func(){}
	for _, a := range w.file.Agents {
		var p *process
		switch {
		case a.External && len(a.Command) == 0:
			continue // others run it
		case a.External:
			var way *wayIn
			if p, way, err = w.external(ctx, a, w.roster.Agents[a.Name].Endpoint); err != nil {
				return nil, done, err
			}
			ways = append(ways, way)
		case o.Processes:
			p = w.own(a, o.Self)
		default:
			all = append(all, w.memberChild(a, false, func(m *member) { w.victim(a.Name, o.Kill, m.killNow) }))
			continue
		}
		w.await(a.Name)
		w.victim(a.Name, o.Kill, p.killNow)
		all = append(all, processChild(p))
	}
	return all, done, nil
}

// victim notes how an agent is killed that is to be, at its first start.
func (w *world) victim(name string, all []string, kill func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, noted := w.victims[name]; !noted && slices.Contains(all, name) {
		w.victims[name] = kill
	}
}

// own is how an agent of the file is run in a process of its own.
func (w *world) own(a *Agent, self []string) *process {
	argv := append(self[:len(self):len(self)], "run", w.file.Path, "--agent", a.Name, "--dir", w.dir, "--json")
	return &process{world: w, agent: a.Name, argv: argv, env: []string{EnvListen + "=" + w.roster.Agents[a.Name].Listen, EnvParent + "=1"}}
}
