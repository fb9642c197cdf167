package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/pandotest"
)

// square is a market in virtual time, on a network in memory.
type square struct {
	*pandotest.World
	*scenario
	journal string
	agents  map[string]*pandotest.Agent

	mu   sync.Mutex
	said []string
	news chan struct{} // closed when more is said
}

func newSquare(w *pandotest.World, s *scenario) *square {
	q := &square{World: w, scenario: s, agents: map[string]*pandotest.Agent{}, news: make(chan struct{})}
	q.journal = filepath.Join(w.T.TempDir(), "journal")
	var all []*pandotest.Agent
	for _, name := range slices.Concat([]string{"bank", "clerk"}, s.sellers, s.buyers) {
		a := w.Agent(name, pando.WithTimeouts(pando.Timeouts{Lost: time.Second}))
		q.agents[name] = a
		all = append(all, a)
	}
	w.Allow(all...)
	return q
}

// trade has an agent play its part, as far as to a point where it hangs. home is
// closed when it is a buyer that has gone home.
func (q *square) trade(name, hangs string) (hung, home <-chan struct{}) {
	q.T.Helper()
	reached, release, back := make(chan struct{}), make(chan struct{}), make(chan struct{})
	q.T.Cleanup(func() { close(release) })
	var once sync.Once
	t := &trader{
		name: name, say: func(format string, args ...any) { q.says(name, fmt.Sprintf(format, args...)) },
		reach: func(point string) {
			if point == hangs {
				once.Do(func() { close(reached) })
				<-release
			}
		},
	}
	a := q.agents[name]
	switch {
	case name == "bank":
		pandotest.Spawn(a, bankSpec(t, q.scenario, q.journal), ledgers)
	case slices.Contains(q.sellers, name):
		pandotest.Spawn(a, stallSpec(t, q.bank(a), q.stall(name)), stalls)
	default:
		sellers := map[string]actors.Ref[stall]{}
		for _, s := range q.sellers {
			sellers[s] = pandotest.RefTo(a, q.agents[s], "stall", stalls)
		}
		me := pandotest.Spawn(a, buyerSpec(t, q.scenario, q.bank(a), sellers), customers)
		go func() {
			if _, err := actors.Ask(q.T.Context(), me, func(r actors.Reply[struct{}]) customer { return shop{r} }); err == nil {
				close(back)
			}
		}()
	}
	return reached, back
}

func (q *square) bank(a *pandotest.Agent) actors.Ref[ledger] {
	return pandotest.RefTo(a, q.agents["bank"], "bank", ledgers)
}

// read reads the books.
func (q *square) read() (report, error) {
	return actors.Ask(q.T.Context(), q.bank(q.agents["clerk"]), func(r actors.Reply[report]) ledger { return books{r} })
}

func (q *square) says(name, text string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said = append(q.said, name+" "+text)
	close(q.news)
	q.news = make(chan struct{})
}

func (q *square) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.said)
}

// hear waits until something was said n times that begins so.
func (q *square) hear(n int, begin string) {
	q.T.Helper()
	limit := time.After(2 * shopTime)
	for {
		q.mu.Lock()
		count, news := 0, q.news
		for _, s := range q.said {
			if strings.HasPrefix(s, begin) {
				count++
			}
		}
		q.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-news:
		case <-limit:
			q.T.Fatalf("%q was said %d times, want %d:\n%s", begin, count, n, strings.Join(q.said, "\n"))
		}
	}
}

// books returns what the bank has, after an audit.
func (q *square) books() report {
	q.T.Helper()
	r, err := q.read()
	if err == nil {
		err = q.audit(r)
	}
	if err != nil {
		q.T.Fatalf("%v\n%s", err, strings.Join(q.said, "\n"))
	}
	return r
}

// inSquare runs f in a market of these buyers and sellers, without anybody in it.
func inSquare(t *testing.T, sellers, buyers []string, f func(q *square)) {
	t.Helper()
	pandotest.Bubble(t, func(w *pandotest.World) {
		f(newSquare(w, &scenario{seed: 1, sellers: sellers, buyers: buyers}))
	})
}

func TestBuyerHearsThatASellerIsLostAndGoesToAnother(t *testing.T) {
	t.Parallel()
	inSquare(t, []string{"anna", "bert"}, []string{"xaver"}, func(q *square) {
		q.trade("bank", "")
		first := q.route("xaver", q.wants("xaver")[0])[0]
		other := map[string]string{"anna": "bert", "bert": "anna"}[first]
		q.trade(other, "")
		dies, _ := q.trade(first, "agreed")
		_, home := q.trade("xaver", "")
		<-dies
		q.Kill(q.agents[first])
		q.agents[first] = q.Restart(q.agents[first])
		q.trade(first, "")
		<-home
		q.hear(1, "xaver hears that "+first+" is lost")
		if r := q.books(); len(r.Sales) != 4 {
			t.Errorf("xaver has bought %v", r.Sales)
		}
	})
}

func TestNegotiationEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	inSquare(t, []string{"anna"}, []string{"xaver"}, func(q *square) {
		q.trade("bank", "")
		hangs, _ := q.trade("anna", "agreed")
		begin := time.Now()
		q.trade("xaver", "")
		<-hangs
		q.hear(1, "xaver hears that anna is too slow")
		if d := time.Since(begin); d < talkTime || d > talkTime+time.Second {
			t.Errorf("it has taken %v", d)
		}
	})
}

func TestReservationOfABuyerThatDiesExpires(t *testing.T) {
	t.Parallel()
	inSquare(t, []string{"anna"}, []string{"xaver", "yvonne"}, func(q *square) {
		q.trade("bank", "")
		q.trade("anna", "")
		dies, _ := q.trade("xaver", "agreed")
		<-dies
		begin := time.Now()
		var kept time.Duration
		var waiting sync.WaitGroup
		waiting.Go(func() {
			q.hear(1, "anna keeps "+q.wants("xaver")[0]+" for xaver no longer")
			kept = time.Since(begin)
		})
		q.Kill(q.agents["xaver"])
		waiting.Wait()
		if kept != holdTime {
			t.Errorf("it was kept for %v", kept)
		}
		_, home := q.trade("yvonne", "")
		<-home
		if r := q.books(); r.Cents["xaver"] != purse || len(r.Sales) == 0 {
			t.Errorf("the books: %+v", r)
		}
	})
}

func TestScarceGoodsAreNeverSoldTwiceAndMoneyIsConserved(t *testing.T) {
	t.Parallel()
	var buyers []string
	for n := range 3 * shelf {
		buyers = append(buyers, fmt.Sprint("buyer", n))
	}
	inSquare(t, []string{"anna", "bert"}, buyers, func(q *square) {
		for _, name := range []string{"bank", "anna", "bert"} {
			q.trade(name, "")
		}
		for _, name := range buyers {
			q.trade(name, "")
		}
		for range 2 { // connections break all the time
			for _, a := range q.agents {
				q.Cut(a)
				q.hear(q.count()+1, "")
			}
		}
		q.hear(shelf, "bank books honey")
		q.hear(shelf, "bank books salt")
		sold := map[string]int{}
		for _, s := range q.books().Sales {
			sold[itemOf(s.Unit)]++
		}
		if sold["honey"] != shelf || sold["salt"] != shelf {
			t.Errorf("sold of what everybody wants: %v", sold)
		}
	})
}

func TestBankKnowsAfterACrashWhatItHasBooked(t *testing.T) {
	t.Parallel()
	inSquare(t, []string{"anna"}, []string{"xaver", "yvonne"}, func(q *square) {
		dies, _ := q.trade("bank", "settled")
		q.trade("anna", "")
		_, home := q.trade("xaver", "")
		<-dies
		q.Kill(q.agents["bank"])
		// The crash has cut off another line.
		text, err := os.ReadFile(q.journal)
		if err == nil {
			err = os.WriteFile(q.journal, append(text, text[:len(text)/2]...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		q.agents["bank"] = q.Restart(q.agents["bank"])
		q.trade("bank", "")
		<-home
		q.hear(1, "bank finds 1 sales")
		if r := q.books(); len(r.Sales) != len(q.wants("xaver")) {
			t.Errorf("the books: %+v", r)
		}
	})
}

func TestBankRefusesWhatNobodyMaySell(t *testing.T) {
	t.Parallel()
	inSquare(t, []string{"anna", "bert"}, []string{"xaver", "yvonne"}, func(q *square) {
		q.trade("bank", "")
		bank := q.bank(q.agents["clerk"])
		honey := sale{Buyer: "xaver", Seller: "anna", Unit: "anna/honey/1", Cents: 100}
		for _, step := range []struct {
			sale
			want error
		}{
			{sale{"xaver", "bert", "anna/honey/1", 100}, errNotOwner},
			{sale{"xaver", "anna", "anna/honey/9", 100}, errNotOwner},
			{sale{"xaver", "anna", "anna/honey/1", -100}, errNotOwner},
			{sale{"xaver", "anna", "anna/honey/1", purse + 1}, errNoMoney},
			{honey, nil},
			{honey, nil}, // said again
			{sale{"xaver", "anna", "anna/honey/2", 100}, nil}, // it has honey already
			{sale{"yvonne", "anna", "anna/honey/1", 100}, errNotOwner},
		} {
			got, err := actors.Ask(context.Background(), bank, func(r actors.Reply[sale]) ledger { return settle{r, step.sale} })
			if !errors.Is(err, step.want) || err == nil && got != honey {
				t.Errorf("%+v: %+v, %v, want %v", step.sale, got, err, step.want)
			}
		}
		r, err := q.read()
		if err != nil || len(r.Sales) != 1 || r.Cents["xaver"] != purse-100 || r.Cents["anna"] != 100 {
			t.Errorf("the books: %+v, %v", r, err)
		}
	})
}
