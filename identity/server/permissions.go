package server

import (
	"errors"
	"net/http"
)

// permissions is GET /agents/{id}/permissions.
func (s *Server) permissions(r *http.Request) (any, error) {
	a, err := s.ownAgent(r, http.StatusForbidden)
	if err != nil {
		return nil, err
	}
	list, err := s.store.permissions(r.Context(), a.id)
	if err != nil {
		return nil, err
	}
	return map[string]any{"agent_id": a.id, "permissions": list}, nil
}

// replacePermissions is PUT /agents/{id}/permissions.
func (s *Server) replacePermissions(r *http.Request) (any, error) {
	a, err := s.ownAgent(r, http.StatusForbidden)
	if err != nil {
		return nil, err
	}
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var bad problems
	list := permissionList(data, s.opts.Limits.PermissionsPerAgent, &bad, "body")
	if err := bad.err(); err != nil {
		return nil, err
	}
	stored, err := s.grant(r, grants{agent: a.id, replace: true, add: list})
	if err != nil {
		return nil, err
	}
	return map[string]any{"agent_id": a.id, "permissions": stored}, nil
}

// changePermissions is PATCH /agents/{id}/permissions: removals first, then additions.
func (s *Server) changePermissions(r *http.Request) (any, error) {
	a, err := s.ownAgent(r, http.StatusForbidden)
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	g := grants{agent: a.id}
	g.add, g.remove = s.permissionField(f, "add"), s.permissionField(f, "remove")
	if err := f.bad.err(); err != nil {
		return nil, err
	}
	stored, err := s.grant(r, g)
	if err != nil {
		return nil, err
	}
	return map[string]any{"agent_id": a.id, "current_permissions": stored}, nil
}

func (s *Server) permissionField(f *form, key string) []permission {
	raw, ok := f.fields[key]
	if !ok || string(raw) == "null" {
		return nil
	}
	return permissionList(raw, s.opts.Limits.PermissionsPerAgent, &f.bad, "body", key)
}

// grant stores a change.
func (s *Server) grant(r *http.Request, g grants) ([]permission, error) {
	g.max, g.now = s.opts.Limits.PermissionsPerAgent, s.opts.Now()
	list, err := s.store.changePermissions(r.Context(), g)
	var unknown unknownTarget
	switch {
	case errors.As(err, &unknown):
		return nil, refuse(http.StatusBadRequest, unknown.Error())
	case errors.Is(err, errTooManyPermissions):
		return nil, refuse(http.StatusBadRequest, err.Error())
	case errors.Is(err, errNotFound):
		return nil, refuse(http.StatusNotFound, "agent not found")
	case err != nil:
		return nil, err
	}
	s.log.Info("permissions changed", "agent", g.agent, "permissions", len(list))
	return list, nil
}
