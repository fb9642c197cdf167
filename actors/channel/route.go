package channel

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/protocol/session"
)

// route decides who gets a message that answers no waiting request: the handler
// of its type, else the inbox, else a default handler. What nobody takes is
// answered "unsupported_type", unless it is an event or itself an answer, which
// are counted and dropped.
func (c *Channel) route(m *Message) {
	if m.Actor != "" {
		c.routeToActor(m)
		return
	}
	spec := c.env.Handler(m.Type)
	if spec == nil && c.inbox != nil {
		if !c.inbox.push(m) {
			c.flooded("inbox is full")
		}
		return
	}
	if spec == nil {
		spec = c.env.Fallback(m.Type)
	}
	if spec == nil {
		c.unsupported(m)
		return
	}
	c.enqueue(m, spec, spec.Ordered || m.Type == protocol.TypeEvent, mayAnswer(m.Type))
}

// routeToActor has a message delivered to an actor of this agent, in the order
// in which all of them and the events have come.
func (c *Channel) routeToActor(m *Message) {
	if c.env.Actors == nil {
		if m.Timeout > 0 {
			c.unsupported(m)
		}
		return
	}
	c.enqueue(m, c.env.Actors, true, m.Timeout > 0)
}

func (c *Channel) enqueue(m *Message, spec *Spec, ordered, answerable bool) {
	if answerable && c.env.Draining.Load() {
		c.answerError(m, protocol.CodeShuttingDown, "the agent is shutting down", "")
		return
	}
	switch c.queue.push(m, spec, ordered, !answerable) {
	case overloaded:
		if n := c.refused.Add(1); n&(n-1) == 0 { // the log must not be flooded along with us
			c.log().Warn("request refused: too many wait for their handlers", "type", m.Type, "refused", n)
		}
		c.answerError(m, protocol.CodeOverloaded, "too many messages wait for their handlers", "")
	case flooded:
		c.flooded("handler queue is full")
	case queued, ended:
	}
}

// mayAnswer reports whether a message of this type may be answered with an
// error. Answers must not be, or two peers would answer each other for ever.
func mayAnswer(messageType string) bool {
	switch messageType {
	case protocol.TypeError, protocol.TypeResponse, protocol.TypeEvent:
		return false
	}
	return true
}

func (c *Channel) unsupported(m *Message) {
	if !mayAnswer(m.Type) {
		c.dropped.Add(1)
		c.log().Debug("nobody handles message", "type", m.Type, "message_id", m.ID)
		return
	}
	c.answerError(m, protocol.CodeUnsupportedType, "unsupported message type: "+clip(m.Type), "")
}

// clip keeps a peer's word from filling an answer.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// flooded closes the channel because the peer sends what cannot be refused
// faster than it is handled.
func (c *Channel) flooded(why string) {
	c.log().Warn("channel closed: peer is too fast", "reason", why)
	in := c.newInput(inputEvent)
	in.ev.Kind, in.ev.Reason, in.ev.Code = session.EventCloseAsked, why, closeTryLater
	c.control(in)
}

// instance is a handler of one channel, made by its factory. It is compared by
// address: not every Handler can be compared.
type instance struct{ Handler }

// handler returns the handler of this channel for spec, made when it is first
// needed.
func (c *Channel) handler(spec *Spec) *instance {
	c.mu.Lock()
	h := c.handlers[spec]
	c.mu.Unlock()
	if h != nil {
		return h
	}
	h = &instance{spec.New()} // user code: not under the mutex
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.handlers[spec]; other != nil {
		return other
	}
	if c.handlers == nil {
		c.handlers = make(map[*Spec]*instance)
	}
	c.handlers[spec] = h
	return h
}

// dropHandler makes the next message get a fresh handler.
func (c *Channel) dropHandler(spec *Spec, broken *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handlers[spec] == broken {
		delete(c.handlers, spec)
	}
}

// runJob runs one handler. It reports false when the job was abandoned
// meanwhile: then its runner has been replaced and has to leave.
func (c *Channel) runJob(j *job) (kept bool) {
	var h *instance
	returned := false
	defer func() {
		if returned {
			return
		}
		// A panic, or runtime.Goexit, which unwinds the runner.
		cause := recover()
		c.dropHandler(j.spec, h)
		kept = c.handlerFailed(j, cause)
	}()
	handle := j.spec.Shared
	if handle == nil {
		h = c.handler(j.spec)
		handle = h.Handler
	}
	answer, err := handle.Handle(&j.scope, j.message)
	returned = true
	j.scope.cancel(errHandlerDone)
	if !c.queue.finish(j) {
		c.log().Warn("abandoned handler returned", "type", j.message.Type, "message_id", j.message.ID)
		return false
	}
	if answer != Later || err != nil {
		c.answer(j.message, answer, err)
	}
	if j.spec.handsBack {
		j.message.memory.release()
	}
	return true
}

// handlerFailed deals with a handler that panicked. The peer learns an id that
// the log has too, and nothing else.
func (c *Channel) handlerFailed(j *job, cause any) (kept bool) {
	c.queue.panics.Add(1)
	id := c.env.NewID()
	if cause == nil {
		cause = "runtime.Goexit"
	}
	c.log().Error("handler panicked", "type", j.message.Type, "message_id", j.message.ID,
		"error_id", id, "err", fmt.Sprint(cause), "stack", string(debug.Stack()))
	j.scope.cancel(errHandlerDone)
	kept = c.queue.finish(j)
	if kept && mayAnswer(j.message.Type) {
		c.answerError(j.message, protocol.CodeHandlerFailed, "the handler failed", id)
	}
	return kept
}

// handlerLate deals with a handler that has passed its deadline.
func (c *Channel) handlerLate(j *job) {
	id := c.env.NewID()
	c.log().Error("handler abandoned at its deadline", "type", j.message.Type,
		"message_id", j.message.ID, "error_id", id, "after", c.env.HandlerTimeout)
	if mayAnswer(j.message.Type) {
		c.answerError(j.message, protocol.CodeHandlerTimeout, "the handler did not answer in time", id)
	}
}

// answer sends what a handler returned.
func (c *Channel) answer(m *Message, value any, err error) {
	if err != nil {
		c.answerFailure(m, err)
		return
	}
	messageType := protocol.TypeResponse
	switch v := value.(type) {
	case nil:
		if m.Type != protocol.TypeRequest {
			return
		}
	case *memory:
		c.reply(m, messageType, v.b, v)
		return
	case *Reply:
		if v == nil {
			return
		}
		if v.Type != "" {
			messageType = v.Type
		}
		value = v.Data
	}
	data, memory, err := c.prepare("answer", messageType, value)
	if err != nil {
		c.answerFailure(m, err)
		return
	}
	c.reply(m, messageType, data, memory)
}

// answerFailure tells the peer that a handler returned an error: a RemoteError
// in its own words, any other only by an id.
func (c *Channel) answerFailure(m *Message, err error) {
	var told *RemoteError
	if errors.As(err, &told) {
		if mayAnswer(m.Type) {
			c.answerError(m, told.Code, told.Message, told.ID)
		}
		return
	}
	id := c.env.NewID()
	c.log().Warn("handler returned an error", "type", m.Type, "message_id", m.ID, "error_id", id, "err", err)
	if mayAnswer(m.Type) {
		c.answerError(m, protocol.CodeHandlerFailed, "the handler failed", id)
	}
}

func (c *Channel) answerError(m *Message, code, text, id string) {
	c.reply(m, protocol.TypeError, protocol.ErrorData(code, text, id), nil)
}

// reply sends an answer on the connection that the message came on, and then
// releases the memory that it lies in.
func (c *Channel) reply(m *Message, messageType string, data []byte, memory *memory) {
	in := c.newInput(inputEvent)
	in.ev.Kind, in.ev.Epoch, in.ev.ReplyTo = session.EventSend, m.epoch, m.ID
	in.ev.Type, in.ev.Data, in.memory = messageType, data, memory
	c.inOrder(in)
}
