package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// scenario is who trades what at which prices. All of it follows from the seed.
type scenario struct {
	seed    uint64
	sellers []string
	buyers  []string
}

func newScenario(seed uint64) *scenario {
	return &scenario{seed: seed, sellers: []string{"anna", "bert", "pia"}, buyers: []string{"xaver", "yvonne", "zoe"}}
}

// common goods are to be had from every seller, and each seller has one that
// nobody else has.
var (
	common = []string{"apples", "bread"}
	own    = map[string]string{"anna": "honey", "bert": "salt", "pia": "tea"}
)

const (
	purse = 3000 // what a buyer has to begin with, in cents
	shelf = 3    // how many units a seller has of each of its goods
)

// terms are a seller's for one of its goods, in cents.
type terms struct {
	Ask   int `json:"ask"`
	Floor int `json:"floor"`
}

// stall is what a seller sells.
func (s *scenario) stall(seller string) map[string]terms {
	goods := map[string]terms{}
	for _, item := range append([]string{own[seller]}, common...) {
		floor := 100 + s.chance(200, seller, item)
		goods[item] = terms{Ask: floor + floor/2, Floor: floor}
	}
	return goods
}

// wants is what a buyer wants, in the order in which it goes for it.
func (s *scenario) wants(buyer string) []string {
	list := slices.Clone(common)
	for _, seller := range s.sellers {
		list = append(list, own[seller])
	}
	s.shuffle(list, buyer)
	return list
}

// limit is the most that a buyer pays. Of common goods it may be too little for
// some sellers.
func (s *scenario) limit(buyer, item string) int {
	if slices.Contains(common, item) {
		return 180 + s.chance(200, buyer, item)
	}
	return 300 + s.chance(200, buyer, item)
}

// route is the order in which a buyer goes to the sellers of something.
func (s *scenario) route(buyer, item string) (sellers []string) {
	for _, seller := range s.sellers {
		if _, has := s.stall(seller)[item]; has {
			sellers = append(sellers, seller)
		}
	}
	s.shuffle(sellers, buyer, item)
	return sellers
}

// chance returns a number below n that depends on the names and the seed only.
func (s *scenario) chance(n int, names ...string) int { return s.dice(names).IntN(n) }

func (s *scenario) shuffle(list []string, names ...string) {
	s.dice(names).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func (s *scenario) dice(names []string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(names, "/")))
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// genesis is what everybody owns in the beginning.
func (s *scenario) genesis() (cents map[string]int, owners map[string]string) {
	cents, owners = map[string]int{}, map[string]string{}
	for _, b := range s.buyers {
		cents[b] = purse
	}
	for _, seller := range s.sellers {
		cents[seller] = 0
		for item := range s.stall(seller) {
			for n := range shelf {
				owners[unit(seller, item, n+1)] = seller
			}
		}
	}
	return cents, owners
}

// A unit is one thing: "anna/honey/2".
func unit(seller, item string, n int) string { return fmt.Sprintf("%s/%s/%d", seller, item, n) }

func itemOf(unit string) string {
	parts := strings.Split(unit, "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[1]
}

// How a negotiation goes: the buyer goes up and the seller down by steps, and
// they meet, or each has had its last word.
const (
	maxRounds = 6 // offers in one negotiation
	steps     = 4 // from the first word to the last
	// talkTime bounds a negotiation, holdTime how long a seller keeps what was
	// agreed on.
	talkTime = 15 * time.Second
	holdTime = 3 * time.Second
)

// bid is what a buyer offers in a round, from 0.
func bid(limit, round int) int {
	first := limit / 2
	return first + (limit-first)*min(round, steps)/steps
}

// ask is what a seller demands in a round.
func (t terms) ask(round int) int { return t.Ask - (t.Ask-t.Floor)*min(round, steps)/steps }
