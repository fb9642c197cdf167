package actors

import "github.com/pando-agents/pando/supervisor"

// Stats returns how many messages wait and the most that ever did, for the
// snapshot of the tree. It is all zero while there is no mailbox.
func (p *Process[M]) Stats() supervisor.Stats {
	depth, highWater := p.Ref().Mailbox()
	return supervisor.Stats{Queue: depth, HighWater: highWater}
}
