package channel

import (
	"time"

	"github.com/pando-agents/pando/protocol"
)

// Info is what there is to see of a channel.
type Info struct {
	ID       string         `json:"id"`
	Peer     string         `json:"peer"`
	URL      string         `json:"url,omitempty"`
	State    protocol.State `json:"-"`
	Status   string         `json:"state"`
	Since    time.Time      `json:"since"`
	Remote   string         `json:"remote,omitempty"`
	Waiting  int            `json:"queued"`    // messages that wait for a handler
	Running  int            `json:"handlers"`  // handlers that run
	Pending  int            `json:"pending"`   // requests that wait for a reply
	Outbound int            `json:"outbound"`  // bytes that wait to be written
	Restarts uint64         `json:"restarts"`  // of the channel actor
	Reopened uint64         `json:"reopened"`  // times the connection came back
	Panics   uint64         `json:"panics"`    // of handlers
	Timeouts uint64         `json:"timeouts"`  // handlers abandoned at their deadline
	Hanging  int64          `json:"abandoned"` // of those, the ones that still run
	Refused  uint64         `json:"refused"`   // requests answered "overloaded"
	Dropped  uint64         `json:"dropped"`   // messages that nobody took
}

// Info returns a copy of what there is to see.
func (c *Channel) Info() Info {
	waiting, running := c.queue.depth()
	state := c.State()
	info := Info{
		ID: c.id, Peer: c.peer, URL: c.url, State: state, Status: state.String(), Since: c.started,
		Waiting: waiting, Running: running, Pending: c.calls.waiting(),
		Restarts: c.restarts.Load(), Reopened: c.reopened.Load(), Panics: c.queue.panics.Load(),
		Timeouts: c.queue.timeouts.Load(), Hanging: c.queue.abandoned.Load(),
		Refused: c.refused.Load(), Dropped: c.dropped.Load(),
	}
	if conn := c.conn.Load(); conn != nil {
		info.Outbound = conn.Buffered()
		if addr := conn.RemoteAddr(); addr != nil {
			info.Remote = addr.String()
		}
	}
	return info
}
