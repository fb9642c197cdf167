package patterns

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pando-agents/pando/actors"
)

// topic is one incarnation of a Topic.
type topic[E any] struct {
	Topic[E]
	self        actors.Ref[TopicMessage[E]]
	ctx         context.Context // of those who are told
	subscribers []*subscriber[E]
	published   uint64
	dropped     uint64
}

// subscriber is one that is told of events.
type subscriber[E any] struct {
	Target[Batch[E], struct{}]
	topic    *topic[E]
	waiting  []E // the last ones of those that were published
	missed   uint64
	all      uint64 // that it has missed
	busy     bool   // it has a batch, or rests
	gone     bool
	failures int // one after the other
	unwatch  func()
}

// batchMost is how many events go in one message.
const batchMost = 64

// What the topic tells itself.
type (
	told[E any] struct {
		to    *subscriber[E]
		batch Batch[E]
		err   error
	}
	goOn[E any]    struct{ to *subscriber[E] }
	hasLeft[E any] struct{ who *subscriber[E] }
)

func (told[E]) topicMessage(E)    {}
func (goOn[E]) topicMessage(E)    {}
func (hasLeft[E]) topicMessage(E) {}

// Start begins without subscribers.
func (o *topic[E]) Start(c *actors.Context[TopicMessage[E]]) error {
	o.self, o.ctx = c.Self(), patient(c)
	return nil
}

// Receive handles one message.
func (o *topic[E]) Receive(c *actors.Context[TopicMessage[E]], m TopicMessage[E]) {
	switch m := m.(type) {
	case Publish[E]:
		o.published++
		for _, s := range o.subscribers {
			s.waiting = append(s.waiting, m.Event)
			o.fit(s)
			o.tell(s)
		}
		m.Send(len(o.subscribers))
	case Subscribe[E]:
		if err := o.subscribe(m); err != nil {
			m.Fail(err)
			return
		}
		m.Send(struct{}{})
	case Unsubscribe[E]:
		for _, s := range o.subscribers {
			if s.name == m.Address {
				o.forget(s)
				break
			}
		}
		m.Send(struct{}{})
	case TopicStatus[E]:
		m.Send(o.status())
	case hasLeft[E]:
		o.forget(m.who)
	case told[E]:
		o.told(c, m)
	case goOn[E]:
		m.to.busy = false
		o.tell(m.to)
	}
}

func (o *topic[E]) subscribe(m Subscribe[E]) error {
	t, err := o.resolve(o.ctx, m)
	if err != nil {
		return err
	}
	for _, s := range o.subscribers {
		if s.name == t.name {
			return nil
		}
	}
	if len(o.subscribers) >= o.Subscribers {
		return &Error{Code: ErrRefused.Code, Reason: "too many subscribers"}
	}
	s := &subscriber[E]{Target: t, topic: o}
	o.subscribers = append(o.subscribers, s)
	self := o.self
	s.unwatch = t.watch(o.ctx, func(actors.Down) { _ = self.Control(hasLeft[E]{s}) })
	return nil
}

func (o *topic[E]) forget(s *subscriber[E]) {
	if s.topic != o || s.gone {
		return
	}
	s.gone = true
	s.unwatch()
	o.subscribers = slices.DeleteFunc(o.subscribers, func(other *subscriber[E]) bool { return other == s })
}

// fit leaves out the oldest events that do not fit.
func (o *topic[E]) fit(s *subscriber[E]) {
	if over := len(s.waiting) - o.Buffer; over > 0 {
		s.waiting = slices.Delete(s.waiting, 0, over)
		o.misses(s, over)
	}
}

func (o *topic[E]) misses(s *subscriber[E], n int) {
	s.missed += uint64(n)
	s.all += uint64(n)
}

// tell gives a subscriber its next batch, if it can have one.
func (o *topic[E]) tell(s *subscriber[E]) {
	n := min(len(s.waiting), batchMost)
	if s.busy || s.gone || n == 0 {
		return
	}
	b := Batch[E]{
		Topic: o.Name, First: o.published - uint64(len(s.waiting)) + 1,
		Missed: s.missed, Events: slices.Clone(s.waiting[:n]),
	}
	s.waiting = slices.Delete(s.waiting, 0, n)
	s.busy, s.missed = true, 0
	ctx, cancel := context.WithTimeout(o.ctx, o.Patience)
	self := o.self
	go guarded(ctx, s.Ask, b, func(_ struct{}, err error) {
		cancel()
		_ = self.Control(told[E]{s, b, err}) // a topic that has stopped has no subscribers
	})
}

// told is called when a subscriber has answered, or has not.
func (o *topic[E]) told(c *actors.Context[TopicMessage[E]], m told[E]) {
	s := m.to
	if s.topic != o || s.gone {
		return
	}
	what := fateOf(m.err)
	if what == answered {
		s.busy, s.failures = false, 0
		o.tell(s)
		return
	}
	s.missed += m.batch.Missed
	if next := o.published - uint64(len(s.waiting)) + 1; what == mayHaveRun || m.batch.First+uint64(len(m.batch.Events)) != next {
		o.misses(s, len(m.batch.Events)) // or it was left behind by those that did not fit
	} else {
		s.waiting = append(m.batch.Events, s.waiting...)
		o.fit(s)
	}
	s.failures++
	if errors.Is(m.err, context.DeadlineExceeded) || time.Duration(s.failures)*retryAfter > o.Patience {
		o.dropped++
		o.forget(s)
		return
	}
	c.After(retryAfter, goOn[E]{s}) // it rests, unless it has ended: then we hear of that
}

func (o *topic[E]) status() TopicStats {
	stats := TopicStats{Published: o.published, Dropped: o.dropped, Subscribers: make([]SubscriberStats, 0, len(o.subscribers))}
	for _, s := range o.subscribers {
		stats.Subscribers = append(stats.Subscribers, SubscriberStats{s.name, len(s.waiting), s.all})
	}
	return stats
}
