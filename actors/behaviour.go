package actors

// Behaviour is what an actor does with messages in one of its states. It
// returns the behaviour for the messages after this one; nil means that
// nothing changes.
type Behaviour[M any] func(c *Context[M], m M) Behaviour[M]

// Behave returns an actor that begins with the behaviour first, for Spec.New.
// What the behaviours share is made there too, anew for each incarnation.
func Behave[M any](first Behaviour[M]) Actor[M] {
	if first == nil {
		return nil
	}
	return &behaving[M]{first}
}

type behaving[M any] struct{ now Behaviour[M] }

func (b *behaving[M]) Receive(c *Context[M], m M) {
	if next := b.now(c, m); next != nil {
		b.now = next
	}
}
