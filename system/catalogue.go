package system

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/pando-agents/pando/actors/remote"
)

// Catalogue holds the constructors of actors that files may name. The zero value
// is empty and ready for use. It is filled before it is used, and only read then.
type Catalogue struct {
	entries map[string]*entry
}

// entry is one constructor.
type entry struct {
	about  string
	decode func(d *decoder, with *yaml.Node, at place) any
	make   func(ctx context.Context, h *Host, config any) error
}

// Register adds a constructor under a name: of letters, digits and "._-". about
// says in one line what the actor is for. construct is called for each life of
// the agent, before it runs: it spawns the actor with Spawn. An error ends the
// start of the agent.
//
// config is what the file says under "with". C is a struct; keys are those of its
// yaml tags, or names of fields in lower case, and unknown ones are problems of
// the file. Fields may be texts, numbers, booleans, time.Duration, Address,
// structs, lists, maps, and anything that implements encoding.TextUnmarshaler;
// what implements Validator is asked.
//
// It panics when the name is no name or is taken: that is a mistake in the
// program, as in regexp.MustCompile.
func Register[C any](c *Catalogue, name, about string, construct func(ctx context.Context, h *Host, config C) error) {
	if err := remote.CheckName(name); err != nil {
		panic("system: register: " + err.Error())
	}
	if c.entries[name] != nil {
		panic("system: register: there is a constructor " + name)
	}
	if reflect.TypeFor[C]().Kind() != reflect.Struct {
		panic(fmt.Sprintf("system: register %s: the configuration is a %v, not a struct", name, reflect.TypeFor[C]()))
	}
	if c.entries == nil {
		c.entries = map[string]*entry{}
	}
	c.entries[name] = &entry{
		about: about,
		decode: func(d *decoder, with *yaml.Node, at place) any {
			config := new(C)
			if with == nil || with.ShortTag() == "!!null" {
				with = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: at.line, Column: at.column}
			}
			d.decode(with, reflect.ValueOf(config), 0)
			return *config
		},
		make: func(ctx context.Context, h *Host, config any) error { return construct(ctx, h, config.(C)) },
	}
}

// Names returns the names of the constructors, sorted.
func (c *Catalogue) Names() []string {
	names := make([]string, 0, len(c.entries))
	for n := range c.entries {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// About returns what was said of a constructor when it was registered.
func (c *Catalogue) About(name string) string {
	if e := c.entries[name]; e != nil {
		return e.about
	}
	return ""
}
