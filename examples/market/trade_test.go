package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	where  place
	agents map[string]*pandotest.Agent

	mu   sync.Mutex
	said []string
	news chan struct{} // closed when more is said
}

func newSquare(w *pandotest.World, s *scenario) *square {
	q := &square{World: w, scenario: s, agents: map[string]*pandotest.Agent{}, news: make(chan struct{})}
	q.where = place{ids: map[string]string{}, journal: filepath.Join(w.T.TempDir(), "journal")}
	var all []*pandotest.Agent
	for _, name := range append(s.everybody(), clerk) {
		a := w.Agent(name, pando.WithTimeouts(pando.Timeouts{Lost: time.Second}))
		q.agents[name], q.where.ids[name] = a, a.ID()
		all = append(all, a)
	}
	w.Allow(all...)
	return q
}

// trade has an agent play its part, as far as to a point where it hangs.
func (q *square) trade(name, halt string) (halted <-chan struct{}, home <-chan struct{}) {
	q.T.Helper()
	reached, release := make(chan struct{}), make(chan struct{})
	q.T.Cleanup(func() { close(release) })
	t := &trader{name: name, out: q.says, halt: halt, halted: func(string) {
		close(reached)
		<-release
	}}
	home, err := trade(q.T.Context(), q.agents[name].Agent, t, q.scenario, q.where)
	if err != nil {
		q.T.Fatal(err)
	}
	return reached, home
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
	r, err := read(q.T.Context(), q.agents[clerk].Agent, q.where)
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
		q.trade(theBank, "")
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
		q.trade(theBank, "")
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
		q.trade(theBank, "")
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
		for _, name := range []string{theBank, "anna", "bert"} {
			q.trade(name, "")
		}
		for _, name := range buyers {
			q.trade(name, "")
		}
		for _, name := range append(q.everybody(), q.everybody()...) { // connections break all the time
			q.Cut(q.agents[name])
			q.hear(q.count()+1, "")
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
		dies, _ := q.trade(theBank, "settled")
		q.trade("anna", "")
		_, home := q.trade("xaver", "")
		<-dies
		q.Kill(q.agents[theBank])
		// The crash has cut off another line.
		text, err := os.ReadFile(q.where.journal)
		if err == nil {
			err = os.WriteFile(q.where.journal, append(text, text[:len(text)/2]...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		q.agents[theBank] = q.Restart(q.agents[theBank])
		q.trade(theBank, "")
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
		q.trade(theBank, "")
		bank, err := pando.RefTo(q.agents[clerk].Agent, q.where.ids[theBank]+"/bank", ledgers)
		if err != nil {
			t.Fatal(err)
		}
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
		r, err := read(context.Background(), q.agents[clerk].Agent, q.where)
		if err != nil || len(r.Sales) != 1 || r.Cents["xaver"] != purse-100 || r.Cents["anna"] != 100 {
			t.Errorf("the books: %+v, %v", r, err)
		}
	})
}
