package channel

import (
	"context"
	"sync"

	"github.com/pando-agents/pando/protocol"
)

// gate is where senders wait for an open channel.
type gate struct {
	mu      sync.Mutex
	state   protocol.State
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func (g *gate) set(s protocol.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

func (g *gate) get() protocol.State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// wait returns when the channel is open (true), or closing, closed or ctx done
// (false).
func (g *gate) wait(ctx context.Context) bool {
	for {
		g.mu.Lock()
		switch g.state {
		case protocol.StateConnected:
			g.mu.Unlock()
			return true
		case protocol.StateClosing, protocol.StateClosed:
			g.mu.Unlock()
			return false
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
