package system

import (
	"reflect"

	"gopkg.in/yaml.v3"
)

// The file as it is written, with places.

type rawFile struct {
	System   str
	Registry rawRegistry
	Ask      *Address
	Agents   named[rawAgent]
}

type rawRegistry struct {
	URL, CA, Listen, Issuer str
}

type rawAgent struct {
	About    str
	Endpoint str
	Listen   str
	TLS      *rawTLS
	TalksTo  []str `yaml:"talks_to"`
	Actors   named[rawActor]
	External bool
	Command  []str
	SDK      str
}

type rawTLS struct{ Cert, Key str }

type rawActor struct {
	New    str
	With   raw
	Expose exposure
	ByType bool `yaml:"by_type"`
}

// str is a text and where it is.
type str struct {
	text string
	at   place
}

func (s *str) read(d *decoder, n *yaml.Node, _ int) {
	if n.ShortTag() == "!!null" {
		return
	}
	s.at = at(n)
	d.scalar(n, reflect.ValueOf(&s.text).Elem(), "a text", "!!str")
}

func texts(list []str) []string {
	var all []string
	for _, s := range list {
		all = append(all, s.text)
	}
	return all
}

// raw is what is read later.
type raw struct{ node *yaml.Node }

func (r *raw) read(_ *decoder, n *yaml.Node, _ int) { r.node = n }

// named is a mapping that keeps its order.
type named[T any] struct {
	at    place
	items []item[T]
}

type item[T any] struct {
	name  str
	value T
}

func (l *named[T]) read(d *decoder, n *yaml.Node, depth int) {
	l.at = at(n)
	if n.ShortTag() == "!!null" {
		return
	}
	d.pairs(n, depth, func(key string, k, v *yaml.Node) {
		i := item[T]{name: str{key, at(k)}}
		d.decode(v, reflect.ValueOf(&i.value), depth+1)
		l.items = append(l.items, i)
	})
}

func (l *named[T]) names() []string {
	var all []string
	for _, i := range l.items {
		all = append(all, i.name.text)
	}
	return all
}

// exposure is a list of agents, or the word all.
type exposure struct {
	all bool
	to  []str
}

func (e *exposure) read(d *decoder, n *yaml.Node, depth int) {
	switch {
	case n.ShortTag() == "!!null":
	case n.Kind == yaml.ScalarNode && n.Value == "all":
		e.all = true
	case n.Kind == yaml.SequenceNode:
		d.value(n, reflect.ValueOf(&e.to).Elem(), depth)
	default:
		d.wanted(n, "a list of agents, or the word all,")
	}
}
