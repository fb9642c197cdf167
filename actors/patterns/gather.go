package patterns

import (
	"context"
	"fmt"
)

// Result is what became of one target.
type Result[R any] struct {
	// Target is its name.
	Target string
	// Value is what it has answered, if Err is nil.
	Value R
	// Err is an error of actors.Ask, ErrNotAwaited, or the cause of the end of
	// the context.
	Err error
}

// Gather asks all targets at the same time and returns when quorum of them have
// answered without an error; 0 means all. The results are in the order of the
// targets, and there is one for each, also when there is an error. The other
// questions are cancelled: their targets may have been asked or not.
//
// When so many have failed that there cannot be a quorum any more, or ctx has
// ended, the error is ErrNoQuorum, wrapping the first failure or the cause of
// ctx. A target that is lost, stopped or cannot be reached holds up nobody; one
// that hangs is waited for until ctx ends, unless there is a quorum without it.
// Gather blocks: inside an actor it is for a goroutine that the actor starts.
func Gather[Q, R any](ctx context.Context, quorum int, question Q, targets ...Target[Q, R]) ([]Result[R], error) {
	if quorum <= 0 {
		quorum = len(targets)
	}
	return gather(ctx, question, targets, func(answers []R, failed int) (enough, hopeless bool) {
		return len(answers) >= quorum, failed > len(targets)-quorum
	})
}

// GatherUntil is Gather with a predicate in the place of a number: it is called
// with the answers so far, in the order in which they have come, each time there
// is one more, and not concurrently. When all targets have ended and it is not
// true, the error is ErrNoQuorum. If enough is nil, all are waited for, and ctx
// alone makes an error: failures are in the results.
func GatherUntil[Q, R any](ctx context.Context, enough func(answers []R) bool, question Q, targets ...Target[Q, R]) ([]Result[R], error) {
	return gather(ctx, question, targets, func(answers []R, failed int) (bool, bool) {
		all := len(answers)+failed == len(targets)
		if enough == nil {
			return all, false
		}
		return len(answers) > 0 && enough(answers), all
	})
}

// gather asks until decide says that there is enough, or cannot be.
func gather[Q, R any](ctx context.Context, question Q, targets []Target[Q, R], decide func(answers []R, failed int) (enough, hopeless bool)) ([]Result[R], error) {
	type outcome struct {
		target int
		value  R
		err    error
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan outcome, len(targets))
	results := make([]Result[R], len(targets))
	for i, t := range targets {
		results[i] = Result[R]{Target: t.name, Err: ErrNotAwaited}
		go guarded(asking, t.Ask, question, func(v R, err error) { ended <- outcome{i, v, err} })
	}
	var answers []R
	var failure error
	for failed := 0; ; {
		enough, hopeless := decide(answers, failed)
		switch {
		case enough:
			return results, nil
		case hopeless:
			return results, &Error{Code: ErrNoQuorum.Code, Reason: count(answers, targets), Err: failure}
		}
		select {
		case <-ctx.Done():
			for i := range results {
				if results[i].Err == ErrNotAwaited {
					results[i].Err = context.Cause(ctx)
				}
			}
			return results, &Error{Code: ErrNoQuorum.Code, Reason: count(answers, targets), Err: context.Cause(ctx)}
		case o := <-ended:
			results[o.target].Value, results[o.target].Err = o.value, o.err
			if o.err == nil {
				answers = append(answers, o.value)
				continue
			}
			failed++
			if failure == nil {
				failure = o.err
			}
		}
	}
}

func count[R, T any](answers []R, targets []T) string {
	return fmt.Sprintf("%d of %d", len(answers), len(targets))
}
