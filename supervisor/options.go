package supervisor

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// Options configure a [Supervisor]. The zero value is a supervisor without children that accepts them by
// [Supervisor.StartChild].
type Options struct {
	// Name is the first element of the path in events, logs and snapshots while the supervisor is not itself a
	// child; a child is called by its [Spec.ID]. Default: "root".
	Name string
	// Strategy says which children are restarted when one has failed. Default: OneForOne.
	Strategy Strategy
	// Children are started in this order by Serve, each when the one before is ready. None if the strategy is
	// Dynamic.
	Children []Spec
	// MaxChildren is the number of children from which on StartChild refuses more. Default: no limit.
	MaxChildren int
	// AutoShutdown ends the supervisor, without an error, when significant children have ended. Default: Never.
	AutoShutdown AutoShutdown
	// Budget is how many failures are borne before the supervisor fails, or, with BudgetPerChild, before the
	// child is given up.
	Budget Budget
	// BudgetPerChild gives each child a budget of its own. A child that exceeds it is removed; the supervisor
	// and the other children live on. Not for children that are restarted together.
	BudgetPerChild bool
	// Backoff delays the second and later restarts of a child, or of a group, in one spell of trouble.
	Backoff Backoff
	// OnGiveUp is called when a child was removed because its own budget was exceeded, or because the start of
	// a Temporary child failed in [Supervisor.Restart]. The calls come one at a time, in order, on a goroutine
	// that is not the supervisor's, so that it may call any method. Serve does not wait for it.
	OnGiveUp func(id string, reason error)

	// Logger gets warnings about what healed itself and errors about what did not. Default: slog.Default().
	Logger *slog.Logger
	// Now is the clock. Default: time.Now. This and the functions below are called on any goroutine, one at a time,
	// and must not block.
	Now func() time.Time
	// AfterFunc calls f on some goroutine after d, unless stop is called before. Default: time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// Rand returns numbers in [0, 1) for the jitter. Default: math/rand/v2.
	Rand func() float64
}

// A Budget bounds the failures since the last quiet period, a time of at least Within in which no child (of those
// that the budget counts) failed or was still recovering.
type Budget struct {
	// Failures is the number that is borne; the next one exceeds the budget. Default: 3. -1 means no limit.
	Failures int
	// Within is the length of a quiet period. It also ends the back-off. Default: 5 s.
	Within time.Duration
}

// Backoff is the delay before a restart: none for the first failure after a quiet period, then a random time
// between zero and a bound (full jitter) that is Initial for the second failure and grows by Factor to Max.
type Backoff struct {
	Initial time.Duration // Default: 100 ms.
	Max     time.Duration // Default: 10 s.
	Factor  float64       // Default: 2. Not below 1.
}

func (o *Options) validate() error {
	bad := ""
	switch {
	case o.Strategy > Dynamic:
		bad = "unknown strategy"
	case o.AutoShutdown > AllSignificant:
		bad = "unknown automatic shutdown"
	case o.Strategy == Dynamic && len(o.Children) > 0:
		bad = "a dynamic supervisor has no children from the start"
	case o.BudgetPerChild && (o.Strategy == OneForAll || o.Strategy == RestForOne):
		bad = "children that are restarted together have one budget"
	}
	if bad != "" {
		return &Error{Code: CodeInvalidSpec, Err: invalid(bad)}
	}
	seen := make(map[string]bool, len(o.Children))
	for i := range o.Children {
		spec := &o.Children[i]
		if err := spec.validate(o.AutoShutdown); err != nil {
			return err
		}
		if seen[spec.ID] {
			return &Error{Code: CodeDuplicate, Child: spec.ID}
		}
		seen[spec.ID] = true
	}
	return nil
}

func (o Options) withDefaults() Options {
	o.Children = slices.Clone(o.Children)
	if o.Name == "" {
		o.Name = "root"
	}
	if o.Budget.Failures == 0 {
		o.Budget.Failures = 3
	}
	if o.Budget.Within <= 0 {
		o.Budget.Within = 5 * time.Second
	}
	if o.Backoff.Initial <= 0 {
		o.Backoff.Initial = 100 * time.Millisecond
	}
	if o.Backoff.Max <= 0 {
		o.Backoff.Max = 10 * time.Second
	}
	if o.Backoff.Factor < 1 {
		o.Backoff.Factor = 2
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return o
}
