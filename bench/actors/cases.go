package main

import (
	"slices"

	"github.com/pando-agents/pando/bench/actors/measure"
)

// benchCase is one thing that is measured.
type benchCase struct {
	name string
	unit string
	// n is how often it is done in one measurement.
	n int
	// cold cases have no warm-up: what that leaves behind would be measured.
	cold    bool
	targets []target
}

// target is what Pando has to reach: a median of at most Limit, or one of at
// most Limit times that of another library, or so many allocations.
type target struct {
	Limit float64 `json:"limit"`
	// Of is the other library, or "allocations".
	Of string `json:"of,omitempty"`
	// CPU is whether it is the processor time that is compared with the other.
	CPU bool `json:"cpu,omitempty"`
}

// noAllocation leaves room for what there is once in many tells: the growth of
// a ring, and what the measurement itself allocates.
const noAllocation = 0.05

func cases() []benchCase {
	return []benchCase{
		{name: measure.TellOutside, unit: "ns", n: 1_000_000, targets: []target{{Limit: 1, Of: "protoactor"}}},
		{name: measure.TellInside, unit: "ns", n: 1_000_000, targets: []target{{Limit: 1, Of: "protoactor"}}},
		{name: measure.TellSupervised, unit: "ns", n: 1_000_000, targets: []target{{Limit: noAllocation, Of: "allocations"}, {Limit: 1.1, Of: "bare", CPU: true}}},
		{name: measure.PingPong, unit: "ns", n: 500_000, targets: []target{{Limit: 400}, {Limit: 0.5, Of: "hollywood"}}},
		{name: measure.Request, unit: "ns", n: 200_000, targets: []target{{Limit: 1000}}},
		{name: measure.RequestShared, unit: "ns", n: 200_000, targets: []target{{Limit: 1000}}},
		{name: measure.Spawn, unit: "ns", n: 50_000, cold: true},
		{name: measure.SpawnChild, unit: "ns", n: 50_000, cold: true},
		{name: measure.Idle, unit: "B", n: 200_000, cold: true, targets: []target{{Limit: 500}}},
		{name: measure.IdleChild, unit: "B", n: 200_000, cold: true, targets: []target{{Limit: 1024}}},
		{name: measure.PanicToNext, unit: "ns", n: 5_000, targets: []target{{Limit: 5000}}},
	}
}

// library is one of those compared.
type library struct {
	measure.Library
	// elsewhere is the package of the program that measures it, if this one
	// cannot.
	elsewhere string
	// most limits n, for a library that needs too much for more.
	most map[string]int
}

func (l library) has(name string) bool {
	// Hollywood makes a timer for each request.
	return l.Measure[name] != nil || l.elsewhere != "" && name != measure.RequestShared
}

func libraries() []library {
	return []library{
		{Library: goroutineLibrary()},
		{Library: protoLibrary()},
		{Library: sutureLibrary()},
		{
			// Hollywood and protoactor-go register the same protocol buffers:
			// a program that links both panics before it has begun.
			Library:   measure.Library{Name: "hollywood"},
			elsewhere: "github.com/pando-agents/pando/bench/actors/hollywood",
			most:      map[string]int{measure.Idle: 20_000, measure.IdleChild: 20_000},
		},
		{Library: bareLibrary()},
		{Library: pandoLibrary()},
	}
}

func libraryNamed(name string) (library, bool) {
	all := libraries()
	i := slices.IndexFunc(all, func(l library) bool { return l.Name == name })
	if i < 0 {
		return library{}, false
	}
	return all[i], true
}
