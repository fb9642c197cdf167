package server

import (
	"errors"
	"net/http"
)

const (
	// One text for all that an agent is not to know: whether there is such an
	// agent, and whether it is active.
	notFindable = "agent not found, or no mutual permission"

	// A page ends after this many bytes of text: escaped, each may become six.
	maxPage = 128 << 10
)

// recordView is an agent as the API shows it to other agents.
type recordView struct {
	ID   string `json:"agent_id"`
	Name string `json:"name"`
	*announcedView
}

func viewOfRecord(a agent) recordView { return recordView{a.id, a.name, viewOfAnnounced(a)} }

// resolve is GET /directory/{id}, for agents: the record of one that the caller
// may talk to, or its own.
func (s *Server) resolve(r *http.Request) (any, error) {
	me, err := s.callingAgent(r)
	if err != nil {
		return nil, err
	}
	id, err := pathID(r, "id")
	if err != nil {
		return nil, err
	}
	if id != me.id {
		rel, err := s.store.relation(r.Context(), me.id, id)
		if err != nil {
			return nil, err
		}
		if !rel.allowed {
			return nil, refuse(http.StatusNotFound, notFindable)
		}
	}
	a, _, err := s.store.agent(r.Context(), id)
	if errors.Is(err, errNotFound) {
		return nil, refuse(http.StatusNotFound, notFindable)
	}
	return viewOfRecord(a), err
}

// listPeers is GET /directory, for agents: those that the caller may talk to, by
// their ids. next, if it is there, is to be sent as after to get more.
func (s *Server) listPeers(r *http.Request) (any, error) {
	me, err := s.callingAgent(r)
	if err != nil {
		return nil, err
	}
	after := r.URL.Query().Get("after")
	if after != "" {
		if after, err = checkedID(after, "query", "after"); err != nil {
			return nil, err
		}
	}
	limit, err := queryInt(r, "limit", 100, 1, 1000)
	if err != nil {
		return nil, err
	}
	list, more, err := s.store.peersOf(r.Context(), me.id, after, limit, maxPage)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Agents []recordView `json:"agents"`
		Next   string       `json:"next,omitempty"`
	}{Agents: make([]recordView, len(list))}
	for i, a := range list {
		answer.Agents[i] = viewOfRecord(a)
	}
	if more {
		answer.Next = list[len(list)-1].id
	}
	return answer, nil
}

// announce is PATCH /directory/{id}, for the agent itself: what it lets others know.
func (s *Server) announce(r *http.Request) (any, error) {
	me, err := s.callingAgent(r)
	if err != nil {
		return nil, err
	}
	id, err := pathID(r, "id")
	if err != nil {
		return nil, err
	}
	if id != me.id {
		return nil, refuse(http.StatusNotFound, notFindable)
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	said := f.announcement()
	if err := f.bad.err(); err != nil {
		return nil, err
	}
	a, err := s.store.updateAgent(r.Context(), id, s.opts.Now(), said.to)
	if errors.Is(err, errNotFound) {
		return nil, refuse(http.StatusNotFound, notFindable)
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("agent announced", "agent", a.id)
	return viewOfRecord(a), nil
}
