package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// audit says what is wrong with the books after the market: whatever has
// happened to the agents, money is neither made nor lost, and what is sold is
// sold once, by its owner, for no more than the buyer wanted to give and no less
// than the seller wanted to have.
func (s *scenario) audit(r report) error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	cents, owners := s.genesis()
	sold, bought := map[string]bool{}, map[string]bool{}
	for _, d := range r.Sales {
		item := itemOf(d.Unit)
		if sold[d.Unit] {
			fail("%s is sold twice", d.Unit)
		}
		if bought[d.want()] {
			fail("%s buys %s twice", d.Buyer, item)
		}
		if owners[d.Unit] != d.Seller {
			fail("%s sells %s, which is not its own", d.Seller, d.Unit)
		}
		if t := s.stall(d.Seller)[item]; d.Cents < t.Floor || d.Cents > s.limit(d.Buyer, item) {
			fail("%s pays %s for %s of %s", d.Buyer, euros(d.Cents), item, d.Seller)
		}
		sold[d.Unit], bought[d.want()] = true, true
		owners[d.Unit] = d.Buyer
		cents[d.Buyer] -= d.Cents
		cents[d.Seller] += d.Cents
	}
	before, after := 0, 0
	for name, c := range cents {
		if r.Cents[name] != c || c < 0 {
			fail("%s has %s, by its deals it should be %s", name, euros(r.Cents[name]), euros(c))
		}
	}
	for _, c := range r.Cents {
		after += c
	}
	before = purse * len(s.buyers)
	if before != after {
		fail("there were %s, now there are %s", euros(before), euros(after))
	}
	if len(r.Owners) != len(owners) {
		fail("there were %d things, now there are %d", len(owners), len(r.Owners))
	}
	for unit, owner := range owners {
		if r.Owners[unit] != owner {
			fail("%s belongs to %s, by the deals it should be %s", unit, r.Owners[unit], owner)
		}
	}
	return errors.Join(wrong...)
}

// table is the deals as the market shows them at its end.
func (s *scenario) table(r report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s%-9s%-8s%s\n", "buyer", "what", "seller", "price")
	for _, d := range r.Sales {
		fmt.Fprintf(&b, "%-8s%-9s%-8s%5s\n", d.Buyer, itemOf(d.Unit), d.Seller, euros(d.Cents))
	}
	for _, buyer := range s.buyers {
		for _, item := range slices.Sorted(slices.Values(s.wants(buyer))) {
			if !slices.ContainsFunc(r.Sales, func(d sale) bool { return d.Buyer == buyer && itemOf(d.Unit) == item }) {
				fmt.Fprintf(&b, "%-8s%-9s%-8s%5s\n", buyer, item, "-", "-")
			}
		}
	}
	return b.String()
}
