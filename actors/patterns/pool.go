package patterns

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
)

// Pool is an actor that gives jobs to workers, near or far. Zero fields mean the
// defaults.
//
// A job is done at least once: when its worker fails, it is given to another,
// and the first may have begun it, or finished it. One that is submitted with
// SubmitOnce is done at most once: it is given to another worker only if it
// surely was not delivered. A worker fails by ErrNotRun, ErrStopped, ErrLost,
// ErrUnreachable, ErrNoActor or ErrMailboxFull of package actors, a refusal, an
// attempt that takes too long, or its Down; any other error is the answer to the
// job. A worker that has failed gets no job for a while, then one as a trial,
// and as many as ever when it has answered.
//
// The pool keeps its jobs in its incarnation. When that fails, those who wait for
// answers are told actors.ErrNotRun.
type Pool[J, R any] struct {
	// Name is that of the actor; default "pool".
	Name string
	// Workers are those that it begins with; Join and Leave change them. Their
	// names tell them apart.
	Workers []Target[J, R]
	// PerWorker is how many jobs a worker has at once; default 1. The others wait
	// in the pool, for whoever is free first.
	PerWorker int
	// Waiting is how many jobs may wait; default 1024. One more is refused with
	// actors.ErrMailboxFull.
	Waiting int
	// Attempts is how many workers may fail with a job before it fails with
	// ErrGaveUp, so that a job that kills its worker does not kill them all;
	// default 3. Failures before the job was delivered do not count.
	Attempts int
	// Timeout bounds one attempt; default 5 min.
	Timeout time.Duration
	// StealAfter lets a worker that has nothing to do take a job, too, that has
	// been at another one for so long; the first answer counts. Default: never.
	StealAfter time.Duration
	// Backoff is how long a worker that has failed gets nothing: 100 ms, doubled
	// each time up to 10 s, by default, of which half is up to Rand.
	Backoff supervisor.Backoff
	// Rand returns numbers in [0, 1); default math/rand/v2.Float64.
	Rand func() float64
}

// PoolMessage is what a pool takes: Job, Join, Leave, PoolStatus.
type PoolMessage[J, R any] interface{ poolMessage(J, R) }

type (
	// Job is work to be done: the answer is that of the worker.
	Job[J, R any] struct {
		actors.Reply[R]
		Work J `json:"work"`
		// Once asks for at most once.
		Once bool `json:"once,omitempty"`
	}
	// Join adds a worker, or gives one of the same name a new address.
	Join[J, R any] struct{ Worker Target[J, R] }
	// Leave takes a worker out. What it has it may finish.
	Leave[J, R any] struct{ Name string }
	// PoolStatus asks how the pool is doing.
	PoolStatus[J, R any] struct{ actors.Reply[PoolStats] }
)

func (Job[J, R]) poolMessage(J, R)        {}
func (Join[J, R]) poolMessage(J, R)       {}
func (Leave[J, R]) poolMessage(J, R)      {}
func (PoolStatus[J, R]) poolMessage(J, R) {}

// PoolStats is how a pool is doing.
type PoolStats struct {
	Waiting int `json:"waiting"`
	Running int `json:"running"`
	// Done counts answers of workers, errors among them; Failed jobs that were
	// given up; Repeated attempts after the first; Stolen those that were begun
	// while another was under way.
	Done     uint64        `json:"done"`
	Failed   uint64        `json:"failed"`
	Repeated uint64        `json:"repeated"`
	Stolen   uint64        `json:"stolen"`
	Workers  []WorkerStats `json:"workers"`
}

// WorkerStats is how one worker is doing.
type WorkerStats struct {
	Name    string `json:"name"`
	Running int    `json:"running"`
	// Away says that it has failed, and why, and gets no jobs for now.
	Away   bool   `json:"away,omitempty"`
	Reason string `json:"reason,omitempty"`
	Done   uint64 `json:"done"`
	Failed uint64 `json:"failed"`
}

// Submit has the pool do a job at least once, and returns the answer. Errors:
// those of the worker's answer, ErrGaveUp, and those of actors.Ask. It blocks
// until ctx ends; the job is then cancelled, if the pool is near.
func Submit[J, R any](ctx context.Context, pool actors.Ref[PoolMessage[J, R]], work J) (R, error) {
	return actors.Ask(ctx, pool, func(r actors.Reply[R]) PoolMessage[J, R] { return Job[J, R]{r, work, false} })
}

// SubmitOnce is Submit of a job that is done at most once.
func SubmitOnce[J, R any](ctx context.Context, pool actors.Ref[PoolMessage[J, R]], work J) (R, error) {
	return actors.Ask(ctx, pool, func(r actors.Reply[R]) PoolMessage[J, R] { return Job[J, R]{r, work, true} })
}

// PoolProtocol is the protocol of pools that others may submit jobs to. Workers
// join and leave at home only. The name is how the types of its messages begin;
// errors are those that workers answer with (remote.Error).
func PoolProtocol[J, R any](name string, errors ...remote.Entry) *remote.Protocol[PoolMessage[J, R]] {
	return remote.NewProtocol[PoolMessage[J, R]](append([]remote.Entry{
		remote.Message[Job[J, R]](name + ".job"), remote.Message[PoolStatus[J, R]](name + ".status"),
		named(ErrGaveUp),
	}, errors...)...)
}

// Spec is how the actor is made.
func (p Pool[J, R]) Spec() actors.Spec[PoolMessage[J, R]] {
	orDefault(&p.Name, "pool")
	orDefault(&p.PerWorker, 1)
	orDefault(&p.Waiting, 1024)
	orDefault(&p.Attempts, 3)
	orDefault(&p.Timeout, 5*time.Minute)
	orDefault(&p.Backoff.Initial, 100*time.Millisecond)
	orDefault(&p.Backoff.Max, 10*time.Second)
	orDefault(&p.Backoff.Factor, 2)
	if p.Rand == nil {
		p.Rand = rand.Float64
	}
	return actors.Spec[PoolMessage[J, R]]{Name: p.Name, New: func() actors.Actor[PoolMessage[J, R]] {
		return &pool[J, R]{Pool: p}
	}}
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// fate is what an error says about the work that was asked for.
type fate int

const (
	answered     fate = iota // it is the answer
	notDelivered             // the worker never had it
	mayHaveRun               // it may have been done, in part or as a whole
)

// fateOf says what an error of Target.Ask means.
func fateOf(err error) fate {
	var told *channel.RemoteError
	switch {
	case err == nil:
		return answered
	case errors.Is(err, actors.ErrNotRun), errors.Is(err, actors.ErrStopped), errors.Is(err, actors.ErrLost),
		errors.Is(err, actors.ErrFenced), errors.Is(err, context.DeadlineExceeded):
		return mayHaveRun
	case errors.Is(err, actors.ErrNoActor), errors.Is(err, actors.ErrMailboxFull),
		errors.Is(err, actors.ErrUnreachable), errors.Is(err, channel.ErrRefused):
		return notDelivered
	case errors.As(err, &told) && told.Code == protocol.CodeHandlerTimeout:
		return mayHaveRun
	case errors.As(err, &told) && (told.Code == protocol.CodeOverloaded || told.Code == protocol.CodeShuttingDown):
		return notDelivered
	}
	return answered
}
