package supervisor

import "context"

// A Template makes the specs of children that are alike from what is different about them. It is meant for
// supervisors with the strategy [Dynamic].
type Template[A any] func(arg A) Spec

// Start adds the child that the template makes of arg to s. It returns what [Supervisor.StartChild] does; a template
// that panics, or calls runtime.Goexit, makes it ErrStartFailed.
func (t Template[A]) Start(ctx context.Context, s *Supervisor, arg A) error {
	var spec Spec
	// On a goroutine of its own, since Goexit would end the caller's.
	made := make(chan error, 1)
	go protect(func() error { spec = t(arg); return nil }, func(err error) { made <- err })
	if err := <-made; err != nil {
		return &Error{Code: CodeStartFailed, Err: err}
	}
	return s.StartChild(ctx, spec)
}
