package pando

import (
	"context"
	"strings"
	"sync"

	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
)

// HandleOption changes how messages of one type are handled.
type HandleOption func(*channel.Spec)

// Ordered handles the messages of a type one after the other on each channel,
// in the order in which they were sent. Requests run concurrently otherwise;
// events are always ordered.
func Ordered() HandleOption { return func(s *channel.Spec) { s.Ordered = true } }

// handlers is what is registered by message type.
type handlers struct {
	mu    sync.RWMutex
	specs map[string]*channel.Spec
}

func (h *handlers) find(messageType string) *channel.Spec {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.specs[messageType]
}

func (h *handlers) set(messageType string, spec *channel.Spec, opts []HandleOption) {
	if messageType == "" || strings.HasPrefix(messageType, "channel.") {
		panic("pando: messages of type " + messageType + " are not for handlers")
	}
	for _, o := range opts {
		o(spec)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.specs == nil {
		h.specs = make(map[string]*channel.Spec)
	}
	h.specs[messageType] = spec
}

// handler finds how messages of a type are handled that are for no actor by
// name.
func (a *Agent) handler(messageType string) *channel.Spec {
	if spec := a.handlers.find(messageType); spec != nil {
		return spec
	}
	if a.table.TakesType(messageType) {
		return a.env.Actors
	}
	return a.reservedSpec(messageType)
}

// Handle registers f for messages of a type, on all channels, open ones
// included. The last registration counts. It panics if the type is empty or
// begins with "channel.".
//
// Without a handler for "request" there is an echo: {"text": <the text of the
// request>, "timestamp": <now>}.
func (a *Agent) Handle(messageType string, f func(ctx context.Context, m *Message) (any, error), opts ...HandleOption) {
	a.handlers.set(messageType, &channel.Spec{Shared: HandlerFunc(f)}, opts)
}

// HandleFactory registers handlers with state of their own: each channel gets
// one, and a fresh one after a panic.
func (a *Agent) HandleFactory(messageType string, factory func() Handler, opts ...HandleOption) {
	a.handlers.set(messageType, &channel.Spec{New: factory}, opts)
}

// fallback is the handler of an agent that registers none: the echo that a
// Python agent has.
func (a *Agent) fallback() func(messageType string) *channel.Spec {
	echo := channel.Echo()
	return func(messageType string) *channel.Spec {
		if messageType == protocol.TypeRequest {
			return echo
		}
		return nil
	}
}
