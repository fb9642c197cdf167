package actors

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// SystemOptions configures a System. The zero value is ready for use.
type SystemOptions struct {
	// Logger gets what the shell has to say; nil means slog.Default().
	Logger *slog.Logger
	// AfterFunc calls f on some goroutine after d, unless stop is called
	// before, for the timers of actors; nil means time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// Seeded, if it is set, decides the order in which actors run.
	Seeded *Seeded
}

// System is the place where actors live: one process registry and one
// dispatcher. A process or an agent needs one, not one per actor: it costs
// about 3 MiB.
type System struct {
	log         *slog.Logger
	afterFunc   func(d time.Duration, f func()) (stop func() bool)
	signals     sync.Pool // of channels on which askers wait
	dispatcher  *Dispatcher
	deadLetters atomic.Uint64
	closeOnce   sync.Once

	// proto is made when the first actor is spawned, and only the shell sees
	// it: a program that never spawns does not pay for its tables.
	protoOnce sync.Once
	proto     *actor.ActorSystem
}

// NewSystem returns an empty system. Close it when its actors have stopped.
func NewSystem(o SystemOptions) *System {
	log := o.Logger
	if log == nil {
		log = slog.Default()
	}
	after := o.AfterFunc
	if after == nil {
		after = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	d := NewDispatcher()
	if o.Seeded != nil {
		d = o.Seeded.d
	}
	return &System{log: log, afterFunc: after, dispatcher: d}
}

// protoSystem returns the protoactor-go system behind s.
func (s *System) protoSystem() *actor.ActorSystem {
	s.protoOnce.Do(func() {
		s.proto = actor.NewActorSystemWithConfig(actor.Configure(
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
				return slog.New(slog.DiscardHandler)
			}),
			actor.WithDeadLetterThrottleInterval(time.Second),
			actor.WithDeadLetterThrottleCount(0),
		))
	})
	return s.proto
}

// Dispatcher returns the dispatcher on which the actors of s run. Other short
// functions may be scheduled on it too.
func (s *System) Dispatcher() *Dispatcher { return s.dispatcher }

// DeadLetters counts messages that were sent to stopped actors or were still
// queued when an actor stopped.
func (s *System) DeadLetters() uint64 { return s.deadLetters.Load() }

// Close lets the workers leave. Actors must have been stopped before.
func (s *System) Close() {
	s.closeOnce.Do(func() {
		s.dispatcher.Close()
		if s.proto != nil {
			s.proto.Shutdown()
		}
	})
}
