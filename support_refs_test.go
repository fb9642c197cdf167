package pando_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
)

// teller is the kind of actor that the tests of refs talk to.
type teller interface{ isTeller() }

type (
	// add adds to the sum; balance asks for it.
	add struct {
		Amount int    `json:"amount"`
		Note   string `json:"note,omitempty"`
	}
	balance struct {
		actors.Reply[int]
	}
	// statement asks for everything that was added, as a struct.
	statement struct {
		actors.Reply[sheet]
	}
	// withdraw fails with errBroke when there is not enough.
	withdraw struct {
		actors.Reply[int]
		Amount int `json:"amount"`
	}
	// crash panics, hold keeps its answer for itself, wait blocks the actor.
	crash struct {
		actors.Reply[int]
	}
	hold struct {
		actors.Reply[int]
	}
	wait struct{}
	// secret fails with an error that is nobody's business.
	secret struct {
		actors.Reply[int]
	}
	quit struct{}
	// unnamed is in no protocol.
	unnamed struct{ actors.Reply[int] }
)

type sheet struct {
	Amounts []int  `json:"amounts"`
	Notes   string `json:"notes"`
}

func (add) isTeller()       {}
func (balance) isTeller()   {}
func (statement) isTeller() {}
func (withdraw) isTeller()  {}
func (crash) isTeller()     {}
func (hold) isTeller()      {}
func (wait) isTeller()      {}
func (secret) isTeller()    {}
func (quit) isTeller()      {}
func (unnamed) isTeller()   {}

var (
	errBroke  = errors.New("not enough money")
	errSecret = errors.New("the key is under the mat")
)

var tellers = remote.NewProtocol[teller](
	remote.Message[add]("bank.add", "bank.deposit"),
	remote.Message[balance]("bank.balance"),
	remote.Message[statement]("bank.statement"),
	remote.Message[withdraw]("bank.withdraw"),
	remote.Message[crash]("bank.crash"),
	remote.Message[hold]("bank.hold"),
	remote.Message[wait]("bank.wait"),
	remote.Message[secret]("bank.secret"),
	remote.Message[quit]("bank.quit"),
	remote.Error("broke", errBroke),
)

// account is the actor.
type account struct {
	sheet sheet
	sum   int
	held  []hold
	gate  chan struct{} // wait waits for it
	busy  chan struct{} // and says so
}

// Receive does what the messages say.
func (a *account) Receive(c *actors.Context[teller], m teller) {
	switch m := m.(type) {
	case add:
		a.sum += m.Amount
		a.sheet.Amounts = append(a.sheet.Amounts, m.Amount)
		a.sheet.Notes += m.Note
	case balance:
		m.Send(a.sum)
	case statement:
		m.Send(a.sheet)
	case withdraw:
		if m.Amount > a.sum {
			m.Fail(errBroke)
			return
		}
		a.sum -= m.Amount
		m.Send(a.sum)
	case crash:
		panic("told to")
	case hold:
		a.held = append(a.held, m)
	case wait:
		close(a.busy)
		<-a.gate
	case secret:
		m.Fail(errSecret)
	case quit:
		c.Stop(nil)
	}
}

// distance is a Ref to an account, and where it leads.
type distance struct {
	name        string
	w           *world
	here, there *node // the same node, where the actor is near
	ref         actors.Ref[teller]
	gate, busy  chan struct{}
}

// distances are the three that an actor can be away.
var distances = []string{"same agent", "same process", "another machine"}

// atEveryDistance runs f with an account at each distance, in virtual time.
func atEveryDistance(t *testing.T, f func(t *testing.T, d *distance), opts ...func(*actors.Spec[teller])) {
	for _, name := range distances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) {
				d := newDistance(w, name, opts...)
				f(w.t, d)
			})
		})
	}
}

func newDistance(w *world, name string, opts ...func(*actors.Spec[teller])) *distance {
	d := &distance{name: name, w: w, gate: make(chan struct{}), busy: make(chan struct{})}
	spec := actors.Spec[teller]{Name: "account", New: func() actors.Actor[teller] {
		return &account{gate: d.gate, busy: d.busy}
	}}
	for _, o := range opts {
		o(&spec)
	}
	var shared []pando.Option
	if name == "same process" {
		shared = []pando.Option{pando.WithNeighbours(pando.NewNeighbours())}
	}
	d.there = w.newNode("there", func(n *node) {
		ref, err := pando.Spawn(context.Background(), n.Agent, spec, func(s *supervisor.Spec) { s.Restart = supervisor.Transient })
		if err != nil {
			w.t.Fatal(err)
		}
		if err := pando.Expose(n.Agent, "account", ref, tellers); err != nil {
			w.t.Fatal(err)
		}
	}, shared...)
	d.here = d.there
	if name != "same agent" {
		endpoints := pando.WithEndpoints(map[string]string{d.there.ID(): d.there.url})
		if name == "same process" {
			endpoints = shared[0]
		}
		d.here = w.friend(d.there, "here", nil, endpoints)
	}
	d.ref = d.to("account")
	return d
}

// to is another actor where the account is.
func (d *distance) to(name string) actors.Ref[teller] {
	d.w.t.Helper()
	ref, err := pando.RefTo(d.here.Agent, d.there.ID()+"/"+name, tellers)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return ref
}

// sum asks for the balance.
func (d *distance) sum(ctx context.Context) (int, error) {
	return actors.Ask(ctx, d.ref, func(r actors.Reply[int]) teller { return balance{r} })
}
