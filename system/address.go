package system

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pando-agents/pando/actors/remote"
)

// Address names an actor of the system: "agent/actor", or "agent" alone, which
// gets messages by their type: that is how an agent written in Python is
// addressed. In the configuration of an actor it is checked before anything
// runs: that there is such an actor, and that it may be reached from here.
type Address struct{ Agent, Actor string }

// String is the address as it is written in a file.
func (a Address) String() string {
	if a.Actor == "" {
		return a.Agent
	}
	return a.Agent + "/" + a.Actor
}

// IsZero reports whether nothing is addressed.
func (a Address) IsZero() bool { return a == Address{} }

func (a *Address) read(d *decoder, n *yaml.Node, _ int) {
	if n.ShortTag() == "!!null" {
		return
	}
	agent, actor, named := strings.Cut(n.Value, "/")
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || remote.CheckName(agent) != nil ||
		named && remote.CheckName(actor) != nil {
		d.wanted(n, "an address such as agent/actor")
		return
	}
	*a = Address{agent, actor}
	d.addresses = append(d.addresses, usedAddress{to: *a, at: at(n)})
}
