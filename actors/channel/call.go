package channel

import (
	"sync"

	"github.com/pando-agents/pando/protocol"
)

// call is one request that waits for its reply.
type call struct {
	done  chan struct{}
	reply *Message
	err   error
}

// calls holds the waiting requests by message id. It has a mutex of its own so
// that callers are let go even when the actor hangs.
type calls struct {
	mu   sync.Mutex
	byID map[string]*call
	err  error         // set when no more calls are taken
	none chan struct{} // closed when no call waits; nil while nobody asks
}

// add registers a call; it fails when the channel has ended.
func (cs *calls) add(id string) (*call, error) {
	c := &call{done: make(chan struct{})}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.err != nil {
		return nil, cs.err
	}
	if cs.byID == nil {
		cs.byID = make(map[string]*call)
	}
	cs.byID[id] = c
	return c, nil
}

// take removes a call and returns it, or nil.
func (cs *calls) take(id string) *call {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	delete(cs.byID, id)
	cs.checkNone()
	return c
}

func (cs *calls) resolve(id string, m *Message) {
	c := cs.take(id)
	if c == nil {
		return
	}
	if m.Type == protocol.TypeError {
		e := &RemoteError{}
		e.Code, e.Message, e.ID = protocol.ParseErrorData(m.Data)
		c.err = e
	} else {
		c.reply = m
	}
	close(c.done)
}

func (cs *calls) fail(id string, err error) bool {
	c := cs.take(id)
	if c == nil {
		return false
	}
	c.err = err
	close(c.done)
	return true
}

// end fails every waiting call and refuses new ones.
func (cs *calls) end(err error) {
	cs.mu.Lock()
	all := cs.byID
	cs.byID = nil
	cs.checkNone()
	if cs.err == nil {
		cs.err = err
	}
	cs.mu.Unlock()
	for _, c := range all {
		c.err = err
		close(c.done)
	}
}

func (cs *calls) waiting() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.byID)
}

func (cs *calls) checkNone() {
	if cs.none != nil && len(cs.byID) == 0 {
		close(cs.none)
		cs.none = nil
	}
}

// wait returns a channel that is closed when no call waits; nil when that is so
// already.
func (cs *calls) wait() <-chan struct{} {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.byID) == 0 {
		return nil
	}
	if cs.none == nil {
		cs.none = make(chan struct{})
	}
	return cs.none
}
