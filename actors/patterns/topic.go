package patterns

import (
	"context"
	"errors"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
)

// Topic is an actor that tells subscribers, near or far, of events. Zero fields
// mean the defaults.
//
// Who may publish and subscribe is decided by who can reach the actor: expose it
// to some. A subscriber gets events in batches, in the order in which they were
// published, each at most once, and the next batch when it has answered the one
// before: one that is slow costs the others nothing. Of events that do not fit in
// its buffer meanwhile the oldest are left out, and it is told how many. One that
// ends, or does not answer for too long, is no subscriber any more.
//
// The subscribers are those of an incarnation; Subscription subscribes anew.
type Topic[E any] struct {
	// Name is that of the actor; default "topic".
	Name string
	// Resolve makes a subscriber of an address that one far away has given, such
	// as To with the Ref of pando.RefTo. An address is what somebody says who may
	// subscribe: what it leads to has to be exposed to this agent, and Resolve may
	// refuse it. It must not block. Without it, only actors of the same system can
	// subscribe.
	Resolve func(address string) (Target[Batch[E], struct{}], error)
	// Subscribers is how many there may be; default 1024.
	Subscribers int
	// Buffer is how many events wait for one subscriber; default 256.
	Buffer int
	// Patience is how long a subscriber may take to answer a batch, or fail to be
	// reached; default 30 s.
	Patience time.Duration
}

// Batch is what subscribers are told. A subscriber has a message with it and a
// Reply, which it answers when it wants more:
//
//	type news struct {
//		actors.Reply[struct{}]
//		patterns.Batch[item]
//	}
type Batch[E any] struct {
	// Topic is the name of the topic.
	Topic string `json:"topic"`
	// First is the number of the first event, counted from 1 by one incarnation
	// of the topic.
	First uint64 `json:"first"`
	// Missed is how many before it this subscriber was not told of since it has
	// subscribed, or perhaps not, as the connection was lost, and since the batch
	// before.
	Missed uint64 `json:"missed,omitempty"`
	Events []E    `json:"events"`
}

// TopicMessage is what a topic takes: Publish, Subscribe, Unsubscribe,
// TopicStatus.
type TopicMessage[E any] interface{ topicMessage(E) }

type (
	// Publish tells the subscribers of an event. The answer, for those who ask, is
	// how many there are.
	Publish[E any] struct {
		actors.Reply[int]
		Event E `json:"event"`
	}
	// Subscribe adds a subscriber by its address, "agent-id/name", or, near, as a
	// target. One that is there already stays as it is.
	Subscribe[E any] struct {
		actors.Reply[struct{}]
		Address string                     `json:"address"`
		Near    Target[Batch[E], struct{}] `json:"-"`
	}
	// Unsubscribe takes one out: by its address, or the name of the target.
	Unsubscribe[E any] struct {
		actors.Reply[struct{}]
		Address string `json:"address"`
	}
	// TopicStatus asks how the topic is doing.
	TopicStatus[E any] struct{ actors.Reply[TopicStats] }
)

func (Publish[E]) topicMessage(E)     {}
func (Subscribe[E]) topicMessage(E)   {}
func (Unsubscribe[E]) topicMessage(E) {}
func (TopicStatus[E]) topicMessage(E) {}

// TopicStats is how a topic is doing.
type TopicStats struct {
	Published uint64 `json:"published"`
	// Dropped counts subscribers that were slow, or could not be reached.
	Dropped     uint64            `json:"dropped"`
	Subscribers []SubscriberStats `json:"subscribers"`
}

// SubscriberStats is how one subscriber is doing.
type SubscriberStats struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"`
	Missed  uint64 `json:"missed"` // in all
}

// TopicProtocol is the protocol of topics that other agents may reach. The name
// is how the types of its messages begin.
func TopicProtocol[E any](name string) *remote.Protocol[TopicMessage[E]] {
	return remote.NewProtocol[TopicMessage[E]](
		remote.Message[Publish[E]](name+".publish"), remote.Message[Subscribe[E]](name+".subscribe"),
		remote.Message[Unsubscribe[E]](name+".unsubscribe"), remote.Message[TopicStatus[E]](name+".status"),
		named(ErrRefused),
	)
}

// Spec is how the actor is made.
func (o Topic[E]) Spec() actors.Spec[TopicMessage[E]] {
	orDefault(&o.Name, "topic")
	orDefault(&o.Subscribers, 1024)
	orDefault(&o.Buffer, 256)
	orDefault(&o.Patience, 30*time.Second)
	return actors.Spec[TopicMessage[E]]{Name: o.Name, New: func() actors.Actor[TopicMessage[E]] {
		return &topic[E]{Topic: o}
	}}
}

// Subscription keeps somebody subscribed to a topic: it subscribes when the topic
// comes, or comes back, and anew from time to time, as a topic forgets those who
// have failed or were slow. It is a service for a supervisor.
type Subscription[E any] struct {
	// Topic is subscribed to.
	Topic actors.Ref[TopicMessage[E]]
	// Address is the subscriber's, "agent-id/name", if the topic is of another
	// agent; else Near is the subscriber.
	Address string
	Near    Target[Batch[E], struct{}]
	// Renew is how often it subscribes; default 10 s.
	Renew time.Duration
	// Told, if it is set, is called with what has come of each attempt.
	Told func(error)
}

// retryAfter is how long after a failure something is tried again.
const retryAfter = time.Second

// Serve subscribes until ctx ends, and then takes that back.
func (s Subscription[E]) Serve(ctx context.Context) error {
	orDefault(&s.Renew, 10*time.Second)
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, s.Renew)
		down := make(chan struct{}, 1)
		unwatch := s.Topic.OnDown(func(actors.Down) { down <- struct{}{} })
		_, err := actors.Ask(attempt, s.Topic, func(r actors.Reply[struct{}]) TopicMessage[E] {
			return Subscribe[E]{r, s.Address, s.Near}
		})
		if s.Told != nil && ctx.Err() == nil {
			s.Told(err)
		}
		if err == nil {
			select {
			case <-attempt.Done(): // for as long as it is valid
			case <-down:
			}
		}
		unwatch()
		cancel()
		if err != nil {
			pause(ctx, retryAfter)
		}
	}
	name := s.Address
	if name == "" {
		name = s.Near.name
	}
	_ = s.Topic.Offer(Unsubscribe[E]{Address: name}) // or it finds out by itself
	return nil
}

// pause waits, until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// resolve finds out who wants to subscribe.
func (o *Topic[E]) resolve(ctx context.Context, m Subscribe[E]) (t Target[Batch[E], struct{}], err error) {
	switch {
	case m.Near.ask != nil:
		return m.Near, nil
	case m.Address == "" || o.Resolve == nil:
		return t, &Error{Code: ErrRefused.Code, Reason: "no address that leads to a subscriber"}
	}
	guarded(ctx, func(_ context.Context, address string) (Target[Batch[E], struct{}], error) {
		return o.Resolve(address)
	}, m.Address, func(v Target[Batch[E], struct{}], e error) { t, err = v, e })
	if err == nil && t.ask == nil {
		err = errors.New("no target")
	}
	if err != nil {
		err = &Error{Code: ErrRefused.Code, Reason: "the address", Err: err}
	}
	t.name = m.Address
	return t, err
}
