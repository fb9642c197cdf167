package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/pando-agents/pando/actors"
)

// bank is the actor that knows who owns what. It is the only one with a memory:
// each sale is in the journal before anybody hears of it, and what the bank
// knows in the next incarnation, or the next process, it has read there.
type bank struct {
	*trader
	scenario *scenario
	file     string // the journal, a line for each sale

	cents  map[string]int
	owners map[string]string // by unit
	sales  map[string]sale   // by buyer and item
}

// bankSpec is the spec of a bank with a journal.
func bankSpec(t *trader, s *scenario, journal string) actors.Spec[ledger] {
	return actors.Spec[ledger]{Name: "bank", New: func() actors.Actor[ledger] {
		return &bank{trader: t, scenario: s, file: journal}
	}}
}

// Start reads the journal.
func (b *bank) Start(*actors.Context[ledger]) error {
	b.cents, b.owners = b.scenario.genesis()
	b.sales = map[string]sale{}
	text, err := os.ReadFile(b.file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // what a crash has cut off was told nobody
	for lines := bufio.NewScanner(bytes.NewReader(whole)); lines.Scan(); {
		var s sale
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		b.book(s)
	}
	if len(whole) < len(text) {
		if err := os.Truncate(b.file, int64(len(whole))); err != nil {
			return err
		}
	}
	if len(b.sales) > 0 {
		b.say("finds %d sales in its journal", len(b.sales))
	}
	return nil
}

// Receive does what the messages say.
func (b *bank) Receive(_ *actors.Context[ledger], m ledger) {
	switch m := m.(type) {
	case account:
		m.Send(b.account(m.Owner))
	case settle:
		if s, err := b.settle(m.sale); err != nil {
			m.Fail(err)
		} else {
			m.Send(s)
		}
	case books:
		m.Send(report{Sales: b.sorted(), Cents: maps.Clone(b.cents), Owners: maps.Clone(b.owners)})
	}
}

func (b *bank) account(owner string) balance {
	have := balance{Cents: b.cents[owner], Units: []string{}, Bought: []sale{}}
	for unit, o := range b.owners {
		if o == owner {
			have.Units = append(have.Units, unit)
		}
	}
	slices.Sort(have.Units)
	for _, s := range b.sorted() {
		if s.Buyer == owner {
			have.Bought = append(have.Bought, s)
		}
	}
	return have
}

func (b *bank) sorted() []sale {
	return slices.SortedFunc(maps.Values(b.sales), func(x, y sale) int {
		return cmp.Or(cmp.Compare(x.Buyer, y.Buyer), cmp.Compare(itemOf(x.Unit), itemOf(y.Unit)))
	})
}

// settle exchanges a unit for money.
func (b *bank) settle(s sale) (sale, error) {
	if before, again := b.sales[s.want()]; again {
		return before, nil
	}
	switch {
	case s.Cents <= 0 || b.owners[s.Unit] != s.Seller || s.Seller == s.Buyer:
		return sale{}, errNotOwner
	case b.cents[s.Buyer] < s.Cents:
		return sale{}, errNoMoney
	}
	if err := b.write(s); err != nil {
		panic(fmt.Errorf("journal: %w", err)) // the next incarnation reads what is there
	}
	b.book(s)
	b.say("books %s from %s to %s for %s", itemOf(s.Unit), s.Seller, s.Buyer, euros(s.Cents))
	b.at("settled")
	return s, nil
}

// write adds a sale to the journal.
func (b *bank) write(s sale) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(line, '\n')); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (b *bank) book(s sale) {
	b.cents[s.Buyer] -= s.Cents
	b.cents[s.Seller] += s.Cents
	b.owners[s.Unit] = s.Buyer
	b.sales[s.want()] = s
}

// want is what may be sold once.
func (s sale) want() string { return s.Buyer + "/" + itemOf(s.Unit) }

func euros(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// trader is what bank, sellers and buyers have in common.
type trader struct {
	name string
	// say tells those who watch the market what the trader does.
	say func(format string, args ...any)
	// reach, if it is not nil, is called at the points that have a name, where
	// tests get in.
	reach func(point string)
}

func (t *trader) at(point string) {
	if t.reach != nil {
		t.reach(point)
	}
}
