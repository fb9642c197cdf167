package system

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/identity"
)

// operator is the agent that asks from outside; provider is the file of the
// provider's credentials beside those of the agents.
const (
	operator = "operator"
	provider = "provider"
)

const defaultListen = "127.0.0.1:8443"

// checker makes a File of what is written.
type checker struct {
	*decoder
	written   *rawFile
	catalogue *Catalogue
	file      File
	places    map[*Agent]*rawAgent
}

func (c *checker) check() *File {
	w := c.written
	c.places = map[*Agent]*rawAgent{}
	c.file.Name = w.System.text
	if err := remote.CheckName(w.System.text); err != nil {
		c.problem(w.System.at, "", "the file says under \"system\" what the system is called: %s", err)
	}
	c.registry()
	if len(w.Agents.items) == 0 {
		c.problem(w.Agents.at, "", "the system has no agents")
	}
	for i := range w.Agents.items {
		c.agent(&w.Agents.items[i])
	}
	c.permissions()
	for i, a := range c.file.Agents {
		c.actors(a, &w.Agents.items[i].value)
	}
	c.uses()
	c.endpoints()
	return &c.file
}

func (c *checker) registry() {
	w := c.written.Registry
	c.file.Registry = Registry{URL: w.URL.text, CA: w.CA.text, Listen: w.Listen.text, Issuer: w.Issuer.text}
	if w.URL.text != "" {
		if err := (identity.Credentials{RegistryURL: w.URL.text}).Validate(); err != nil {
			c.problem(w.URL.at, "", "%s is no http or https URL of a registry", clip(w.URL.text))
		}
		if w.Listen.text != "" {
			c.problem(w.Listen.at, "", "a registry with a url is run by others: where it listens is not ours to say")
		}
		return
	}
	if w.CA.text != "" {
		c.problem(w.CA.at, "", "ca is for a registry with a url")
	}
	if w.Listen.text == "" {
		c.file.Registry.Listen = defaultListen
		return
	}
	c.listen(w.Listen)
}

// listen checks an address to listen at and returns its host.
func (c *checker) listen(s str) (host string) {
	host, port, err := net.SplitHostPort(s.text)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		c.problem(s.at, "", "%s is no host:port to listen at", clip(s.text))
	}
	return host
}

func (c *checker) agent(i *item[rawAgent]) {
	w, name := &i.value, i.name.text
	a := &Agent{
		Name: name, About: w.About.text, Endpoint: w.Endpoint.text, Listen: w.Listen.text,
		External: w.External, Command: texts(w.Command), SDK: w.SDK.text,
	}
	c.file.Agents = append(c.file.Agents, a)
	c.places[a] = w
	switch err := remote.CheckName(name); {
	case err != nil:
		c.problem(i.name.at, "", "%s", err)
	case strings.HasPrefix(name, ".") || name == operator || name == provider:
		c.problem(i.name.at, "", "no agent can have the name %s", clip(name))
	}
	if len(a.About) > 1024 || strings.ContainsFunc(a.About, func(r rune) bool { return !unicode.IsPrint(r) }) {
		c.problem(w.About.at, "", "a registry takes descriptions of up to 1024 bytes on one line")
	}
	if w.External {
		if len(w.Actors.items) > 0 {
			c.problem(w.Actors.at, "", "agent %s is external: its actors are not ours to make", name)
		}
		if len(w.Command) == 0 && w.Endpoint.text == "" {
			c.problem(i.name.at, "", "external agent %s has neither a command to start it nor an endpoint", name)
		}
	} else {
		for _, key := range []struct {
			name string
			at   place
			set  bool
		}{{"command", firstPlace(w.Command), len(w.Command) > 0}, {"sdk", w.SDK.at, w.SDK.text != ""}} {
			if key.set {
				c.problem(key.at, "set external: true", "%s is for external agents", key.name)
			}
		}
		if len(w.Actors.items) == 0 {
			c.problem(i.name.at, "", "agent %s has no actors", name)
		}
	}
	if w.SDK.text != "" && w.SDK.text != "python" {
		c.problem(w.SDK.at, "python, or nothing", "unknown SDK %s", clip(w.SDK.text))
	}
}

func firstPlace(list []str) place {
	if len(list) == 0 {
		return place{}
	}
	return list[0].at
}

// known reports whether there is an agent of that name, or says so.
func (c *checker) known(s str) bool {
	if c.file.Agent(s.text) != nil {
		return true
	}
	c.problem(s.at, didYouMean(s.text, c.written.Agents.names()), "there is no agent %s", clip(s.text))
	return false
}

// permissions makes talks_to mutual: one side suffices.
func (c *checker) permissions() {
	pair := func(a *Agent, b string) {
		if !slices.Contains(a.TalksTo, b) {
			a.TalksTo = append(a.TalksTo, b)
		}
	}
	for _, a := range c.file.Agents {
		seen := map[string]bool{}
		for _, s := range c.places[a].TalksTo {
			switch {
			case s.text == a.Name:
				c.problem(s.at, "", "an agent needs no permission for itself")
			case seen[s.text]:
				c.problem(s.at, "", "%s is there twice", clip(s.text))
			case c.known(s):
				pair(a, s.text)
				pair(c.file.Agent(s.text), a.Name)
			}
			seen[s.text] = true
		}
	}
}

// actors reads the actors of an agent, with their configurations.
func (c *checker) actors(a *Agent, w *rawAgent) {
	for i := range w.Actors.items {
		name, r := w.Actors.items[i].name, &w.Actors.items[i].value
		if err := remote.CheckName(name.text); err != nil {
			c.problem(name.at, "", "%s", err)
		}
		actor := &Actor{Name: name.text, New: r.New.text, Expose: texts(r.Expose.to), ExposeAll: r.Expose.all, ByType: r.ByType}
		a.Actors = append(a.Actors, actor)
		for _, s := range r.Expose.to {
			if c.known(s) && !slices.Contains(a.TalksTo, s.text) {
				c.problem(s.at, "", "%s may not talk to %s: it is not in talks_to of either", s.text, a.Name)
			}
		}
		if r.New.text == "" {
			c.problem(name.at, "", "actor %s has no constructor: say which under \"new\"", name.text)
			continue
		}
		actor.entry = c.catalogue.entries[r.New.text]
		if actor.entry == nil {
			hint := didYouMean(r.New.text, c.catalogue.Names())
			if hint == "" {
				hint = "there are: " + strings.Join(c.catalogue.Names(), ", ")
			}
			c.problem(r.New.at, hint, "there is no constructor %s in this program", clip(r.New.text))
			continue
		}
		before := len(c.addresses)
		actor.config = actor.entry.decode(c.decoder, r.With.node, name.at)
		for i := before; i < len(c.addresses); i++ {
			c.addresses[i].from = a
		}
	}
}

// uses checks the addresses that actors have been told.
func (c *checker) uses() {
	if c.written.Ask != nil {
		c.file.Ask = *c.written.Ask
	}
	for _, u := range c.addresses {
		to := c.file.Agent(u.to.Agent)
		if to == nil {
			c.known(str{u.to.Agent, u.at})
			continue
		}
		actor := c.addressed(u, to)
		if actor == nil && !to.External || u.from == nil || u.from == to {
			continue
		}
		if !slices.Contains(to.TalksTo, u.from.Name) {
			c.problem(u.at, "", "%s may not talk to %s: it is not in talks_to of either", u.from.Name, to.Name)
		} else if actor != nil && !actor.ExposeAll && !slices.Contains(actor.Expose, u.from.Name) {
			c.problem(u.at, fmt.Sprintf("add it to expose of %s", actor.Name), "actor %s/%s is not exposed to %s", to.Name, actor.Name, u.from.Name)
		}
	}
}

// addressed returns the actor that an address leads to; nil if that is none, which
// is a problem, or that of an external agent.
func (c *checker) addressed(u usedAddress, to *Agent) *Actor {
	switch {
	case to.External && u.to.Actor != "":
		c.problem(u.at, fmt.Sprintf("write %s", to.Name), "agent %s is external: it has no actors of this system", to.Name)
	case to.External && u.from == nil:
		c.problem(u.at, "", "agent %s is external: it cannot be asked from outside", to.Name)
	case to.External:
	case u.to.Actor != "":
		if actor := to.actor(u.to.Actor); actor != nil {
			return actor
		}
		names := []string{}
		for _, a := range to.Actors {
			names = append(names, a.Name)
		}
		c.problem(u.at, didYouMean(u.to.Actor, names), "agent %s has no actor %s", to.Name, clip(u.to.Actor))
	case u.from == to:
		c.problem(u.at, "write "+to.Name+"/actor", "an actor of the same agent is addressed by its name")
	default:
		for _, actor := range to.Actors {
			if actor.ByType {
				return actor
			}
		}
		c.problem(u.at, "write "+to.Name+"/actor, or set by_type", "no actor of %s takes messages by their type", to.Name)
	}
	return nil
}

// endpoints checks where agents are reached.
func (c *checker) endpoints() {
	endpoints, listens := map[string]string{}, map[string]string{}
	for _, a := range c.file.Agents {
		w := c.places[a]
		c.endpoint(a, w)
		if other := endpoints[a.Endpoint]; other != "" && a.Endpoint != "" {
			c.problem(w.Endpoint.at, "", "agent %s has this endpoint already", other)
		}
		if other := listens[a.Listen]; other != "" && loopbackAddr(a.Listen) && !strings.HasSuffix(a.Listen, ":0") {
			c.problem(firstSet(w.Listen, w.Endpoint), "", "agent %s listens at %s already", other, a.Listen)
		}
		endpoints[a.Endpoint], listens[a.Listen] = a.Name, a.Name
	}
}

func firstSet(list ...str) place {
	for _, s := range list {
		if s.text != "" {
			return s.at
		}
	}
	return place{}
}

func (c *checker) endpoint(a *Agent, w *rawAgent) {
	if w.TLS != nil {
		a.Cert, a.Key = w.TLS.Cert.text, w.TLS.Key.text
		if a.Cert == "" || a.Key == "" {
			c.problem(firstSet(w.TLS.Cert, w.TLS.Key, w.Endpoint), "", "tls takes both, cert and key")
		}
	}
	host := ""
	if a.Listen != "" {
		host = c.listen(w.Listen)
	}
	if a.Endpoint == "" {
		if a.Listen != "" && !a.External {
			c.problem(w.Listen.at, "", "agent %s listens, but has no endpoint that peers could dial", a.Name)
		}
		return
	}
	if err := (identity.EndpointPolicy{AllowPrivate: true}).Check(a.Endpoint); err != nil {
		hint := ""
		if i := strings.Index(a.Endpoint, "://"); i < 0 || a.Endpoint[:i] != "ws" && a.Endpoint[:i] != "wss" {
			hint = "such as wss://example.org/ws"
		}
		c.problem(w.Endpoint.at, hint, "%s", errors.Unwrap(err))
		return
	}
	u, _ := url.Parse(a.Endpoint) // checked
	switch {
	case a.External:
	case u.Scheme == "ws" && a.Cert != "":
		c.problem(w.Endpoint.at, "write wss", "agent %s has a certificate, but its endpoint is not encrypted", a.Name)
	case u.Scheme == "ws" && a.Listen == "":
		a.Listen = net.JoinHostPort(u.Hostname(), cmpPort(u, "80"))
	case a.Listen == "" && a.Cert != "":
		a.Listen = net.JoinHostPort("", cmpPort(u, "443"))
	case a.Listen == "":
		c.problem(w.Endpoint.at, "", "agent %s has no certificate (tls): say where it listens behind the proxy that has", a.Name)
	case u.Scheme == "ws" && !loopback(host):
		c.problem(w.Listen.at, "", "without tls, an agent with a ws endpoint listens on loopback only")
	}
}

func cmpPort(u *url.URL, standard string) string {
	if p := u.Port(); p != "" {
		return p
	}
	return standard
}

func loopbackAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopback(host)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
