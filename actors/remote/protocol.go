// Package remote carries typed messages between actors of different agents.
//
// A Protocol names the Go types that actors of one kind take; a Table holds the
// actors of one agent that others can reach; Dial makes of a name and a Link,
// which leads to an agent, a Ref that is used like any other.
//
// A message is a JSON object, readable for any peer: its fields as
// encoding/json writes them. Fields that the receiver does not know are ignored
// and missing ones are zero, so that a message may grow; one that changes its
// meaning gets a new name.
package remote

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pando-agents/pando/actors"
)

// Protocol names the types of messages that go to actors with messages of type
// M, and the errors that come back. It is safe for concurrent use.
type Protocol[M any] struct {
	kinds  map[string]*kind // by name, old ones included
	types  map[reflect.Type]*kind
	errors []namedError
}

// Entry is a part of a Protocol: a Message or an Error.
type Entry struct {
	kind  *kind
	error namedError
}

// kind is one type of message.
type kind struct {
	name  string
	old   []string
	typ   reflect.Type
	reply bool // it takes an answer
	// make returns a pointer to a new message and what makes the message of it.
	make func() (pointer any, message func() any)
}

type namedError struct {
	code string
	err  error
}

// Message names the messages of type T, a struct or a pointer to one. The name
// is the type of the message on the wire: at most 128 bytes, of letters, digits
// and "._-/". Under old names messages are understood, but not sent.
//
// A message that is asked embeds an actors.Reply.
func Message[T any](name string, old ...string) Entry {
	typ := reflect.TypeFor[T]()
	k := &kind{name: name, old: old, typ: typ}
	switch {
	case typ.Kind() == reflect.Struct:
		k.make = func() (any, func() any) {
			v := new(T)
			return v, func() any { return *v }
		}
	case typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Struct:
		k.make = func() (any, func() any) {
			v := reflect.New(typ.Elem()).Interface()
			return v, func() any { return v }
		}
	default:
		panic(fmt.Sprintf("remote: message %s: %v is neither a struct nor a pointer to one", name, typ))
	}
	pointer, _ := k.make()
	k.reply = actors.TakesReply(pointer)
	for _, n := range append([]string{name}, old...) {
		if err := checkName(n, maxType, "._-/"); err != nil {
			panic("remote: message: " + err.Error())
		}
		if strings.HasPrefix(n, "channel.") || strings.HasPrefix(n, Reserved) || n == "error" || n == "response" {
			panic("remote: message: the name " + n + " is taken")
		}
	}
	return Entry{kind: k}
}

// Error names an error that answers may carry, so that an asker far away finds
// it with errors.Is. Its text, and that of what is wrapped around it, is told.
// Of an error without a name the asker learns nothing but an id that the log of
// the other agent has.
func Error(code string, err error) Entry {
	if checkName(code, maxType, "._-/") != nil || err == nil {
		panic("remote: error " + code + " has no good code, or is nil")
	}
	if slices.Contains(codes, code) {
		panic("remote: error code " + code + " is taken")
	}
	return Entry{error: namedError{code, err}}
}

// NewProtocol returns the protocol of actors that take messages of type M. It
// panics when an entry is no M, or a name is used twice: that is a mistake in
// the program, as in regexp.MustCompile.
func NewProtocol[M any](entries ...Entry) *Protocol[M] {
	p := &Protocol[M]{kinds: map[string]*kind{}, types: map[reflect.Type]*kind{}}
	of := reflect.TypeFor[M]()
	for _, e := range entries {
		k := e.kind
		if k == nil {
			p.errors = append(p.errors, e.error)
			continue
		}
		if !k.typ.AssignableTo(of) {
			panic(fmt.Sprintf("remote: message %s: %v is not a %v", k.name, k.typ, of))
		}
		if p.types[k.typ] != nil {
			panic(fmt.Sprintf("remote: message %s: %v has a name already", k.name, k.typ))
		}
		p.types[k.typ] = k
		for _, n := range append([]string{k.name}, k.old...) {
			if p.kinds[n] != nil {
				panic("remote: message " + n + " is there twice")
			}
			p.kinds[n] = k
		}
	}
	return p
}

// Names returns the names of the messages, sorted, without old ones.
func (p *Protocol[M]) Names() []string {
	names := make([]string, 0, len(p.types))
	for _, k := range p.types {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return names
}

// Reserved is how the types of messages begin that agents exchange among
// themselves.
const Reserved = "pando."

const (
	maxType = 128
	maxName = 128
)

// CheckName says what is wrong with the name of an actor: it has 1 to 128 bytes
// of letters, digits and "._-".
func CheckName(name string) error { return checkName(name, maxName, "._-") }

func checkName(name string, most int, others string) error {
	if name == "" || len(name) > most {
		return fmt.Errorf("name %q has not 1 to %d bytes", clip(name), most)
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || '9' < c) && strings.IndexByte(others, c) < 0 {
			return fmt.Errorf("name %q has characters other than letters, digits and %q", name, others)
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
