package patterns

import (
	"context"
	"fmt"
	"iter"
	"sync"
)

// Stage says how one stage of a pipeline works.
type Stage struct {
	// Name appears in its errors.
	Name string
	// Concurrency is how many items may be in the stage at once, from when it
	// takes one until the next stage takes what has become of it; default 1.
	Concurrency int
	// Unordered lets items overtake each other. Otherwise they leave in the order
	// in which they came, and a slow one holds up those behind it.
	Unordered bool
}

// Pipeline makes a B of each A, in one stage or several. It has no state: it may
// be run more than once, also at the same time.
type Pipeline[A, B any] struct {
	attach func(r *run, in <-chan item[A]) <-chan item[B]
}

// item is one that is under way. What has failed goes along, in its place.
type item[T any] struct {
	number int
	value  T
	err    error
}

// ItemError is what a stage has failed with.
type ItemError struct {
	// Stage is the name of the stage.
	Stage string
	// Item is the number of the item among those that went in, from 0.
	Item int
	// Err is the error of the function, or of asking the actor. A panic of the
	// function is a *supervisor.PanicError.
	Err error
}

// Error names the stage and the item.
func (e *ItemError) Error() string {
	return fmt.Sprintf("stage %s, item %d: %v", e.Stage, e.Item, e.Err)
}

// Unwrap returns the error of the function.
func (e *ItemError) Unwrap() error { return e.Err }

// Through returns a pipeline of one stage. f is called concurrently, up to the
// Concurrency of the stage, and should return soon when its context has ended.
// To have an actor do it, give the Ask of a Target.
func Through[A, B any](s Stage, f func(context.Context, A) (B, error)) Pipeline[A, B] {
	s.Concurrency = max(s.Concurrency, 1)
	return Pipeline[A, B]{func(r *run, in <-chan item[A]) <-chan item[B] {
		out := make(chan item[B])
		if s.Unordered {
			unordered(r, s, f, in, out)
		} else {
			ordered(r, s, f, in, out)
		}
		return out
	}}
}

// Then returns the pipeline in which what comes out of first goes into second.
func Then[A, B, C any](first Pipeline[A, B], second Pipeline[B, C]) Pipeline[A, C] {
	return Pipeline[A, C]{func(r *run, in <-chan item[A]) <-chan item[C] {
		return second.attach(r, first.attach(r, in))
	}}
}

// Run sends items through the pipeline and returns what comes out. It takes the
// next item only when the first stage has room, and a stage hands on only what
// the next one takes: who reads the results slowly slows down everything.
//
// An item that fails in one stage is not given to those behind it; it comes out
// as an *ItemError. Whoever goes on with the loop skips it; whoever leaves the
// loop ends the run. When ctx ends, so does the run, with its cause as the last
// error. The loop is left when all that the run has started has returned:
// functions, and the sequence of items, that do not heed the context hold it up.
func (p Pipeline[A, B]) Run(ctx context.Context, items iter.Seq[A]) iter.Seq2[B, error] {
	return func(yield func(B, error) bool) {
		r := new(run)
		var end context.CancelFunc
		r.ctx, end = context.WithCancel(ctx)
		defer r.work.Wait()
		defer end()
		in := make(chan item[A])
		var failed error
		r.work.Go(func() {
			defer close(in)
			guarded(r.ctx, func(context.Context, struct{}) (struct{}, error) {
				number := 0
				for v := range items {
					if !send(r, in, item[A]{number: number, value: v}) {
						break
					}
					number++
				}
				return struct{}{}, nil
			}, struct{}{}, func(_ struct{}, err error) { failed = err })
		})
		for out := range p.attach(r, in) {
			if ctx.Err() != nil {
				break
			}
			if !yield(out.value, out.err) {
				return
			}
		}
		var none B
		switch {
		case ctx.Err() != nil:
			yield(none, context.Cause(ctx))
		case failed != nil: // the sequence of items did
			yield(none, failed)
		}
	}
}

// run is one run of a pipeline.
type run struct {
	ctx  context.Context
	work sync.WaitGroup
}

// send reports false when the run has ended.
func send[T any](r *run, to chan<- T, v T) bool {
	select {
	case to <- v:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// process makes what comes out of a stage of what has come in.
func process[A, B any](r *run, s Stage, f func(context.Context, A) (B, error), in item[A], then func(item[B])) {
	out := item[B]{number: in.number, err: in.err}
	if in.err != nil {
		then(out)
		return
	}
	guarded(r.ctx, f, in.value, func(v B, err error) {
		out.value = v
		if err != nil {
			var none B
			out.value, out.err = none, &ItemError{Stage: s.Name, Item: in.number, Err: err}
		}
		then(out)
	})
}

// unordered hands on what is ready.
func unordered[A, B any](r *run, s Stage, f func(context.Context, A) (B, error), in <-chan item[A], out chan<- item[B]) {
	room := make(chan struct{}, s.Concurrency)
	r.work.Go(func() {
		var under sync.WaitGroup
		defer close(out)
		defer under.Wait()
		for send(r, room, struct{}{}) {
			i, ok := <-in
			if !ok {
				return
			}
			under.Add(1)
			r.work.Go(func() {
				defer under.Done()
				process(r, s, f, i, func(o item[B]) {
					if send(r, out, o) {
						<-room
					}
				})
			})
		}
	})
}

// ordered hands on what is ready when all before it have been handed on.
func ordered[A, B any](r *run, s Stage, f func(context.Context, A) (B, error), in <-chan item[A], out chan<- item[B]) {
	room := make(chan struct{}, s.Concurrency)
	queue := make(chan chan item[B], s.Concurrency)
	r.work.Go(func() {
		defer close(queue)
		for send(r, room, struct{}{}) {
			i, ok := <-in
			if !ok {
				return
			}
			done := make(chan item[B], 1)
			queue <- done // has room: there are no more than those in room
			r.work.Go(func() { process(r, s, f, i, func(o item[B]) { done <- o }) })
		}
	})
	r.work.Go(func() {
		defer close(out)
		for done := range queue {
			if !send(r, out, <-done) {
				return
			}
			<-room
		}
	})
}
