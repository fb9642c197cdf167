package supervisor

// A Strategy says which children are restarted when one has failed. The zero value is OneForOne.
type Strategy uint8

// The strategies.
const (
	// OneForOne restarts the child that has failed.
	OneForOne Strategy = iota
	// OneForAll restarts all children: for those that cannot work without each other.
	OneForAll
	// RestForOne restarts the child that has failed and those after it, which depend on it.
	RestForOne
	// Dynamic is OneForOne for children that are alike and many. They come by StartChild only, start at the same
	// time, are all asked to stop at the same time, and are removed when they have ended.
	Dynamic
)

// String returns the name that OTP has for s.
func (s Strategy) String() string {
	names := [...]string{"one_for_one", "one_for_all", "rest_for_one", "dynamic"}
	if int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// AutoShutdown says whether a supervisor stops when significant children have ended by themselves: Transient ones
// normally, Temporary ones in any way. The zero value is Never.
type AutoShutdown uint8

// The ways of shutting down.
const (
	// Never: the supervisor stops when it is asked to, or fails.
	Never AutoShutdown = iota
	// AnySignificant: it stops when the first significant child has ended.
	AnySignificant
	// AllSignificant: it stops when a significant child has ended and no other is left.
	AllSignificant
)

// String returns the name that OTP has for a.
func (a AutoShutdown) String() string {
	names := [...]string{"never", "any_significant", "all_significant"}
	if int(a) >= len(names) {
		return "unknown"
	}
	return names[a]
}
