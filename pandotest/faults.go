package pandotest

import "context"

// Cut breaks all connections of the agents: both ends see a reset at once. New
// ones can be made.
func (w *World) Cut(agents ...*Agent) { w.fault(w.cut, agents) }

// Freeze stops everything from and to the agents without telling anybody, until
// Heal.
func (w *World) Freeze(agents ...*Agent) {
	w.fault(func(a *Agent) { w.Net.Freeze(a.Host) }, agents)
}

// Partition is Freeze for what is between two agents.
func (w *World) Partition(a, b *Agent) {
	w.fault(func(a *Agent) { w.Net.Partition(a.Host, b.Host) }, []*Agent{a})
}

// Heal ends every Freeze and Partition of the agents.
func (w *World) Heal(agents ...*Agent) {
	w.fault(func(a *Agent) { w.Net.Heal(a.Host) }, agents)
}

// Kill ends an agent as SIGKILL ends its process: its peers see their
// connections reset, and nothing that it does after that gets out. It returns
// when the agent has gone; handlers that do not heed their context hold it up.
func (w *World) Kill(a *Agent) {
	w.T.Helper()
	w.fault(func(a *Agent) {
		a.dead.Store(true)
		w.Net.Refuse(a.Host, true)
		w.cut(a)
	}, []*Agent{a})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = a.Shutdown(ctx) // it is not given time to drain
	a.stop()
}

// Stop drains an agent and ends it, as SIGTERM does.
func (w *World) Stop(a *Agent) { a.stop() }

func (w *World) cut(a *Agent) { w.Net.Cut(a.Host) }

func (w *World) fault(f func(*Agent), agents []*Agent) {
	w.T.Helper()
	if w.Net == nil {
		w.T.Fatal("pandotest: faults need a network in memory")
	}
	for _, a := range agents {
		f(a)
	}
}
