package server

import "context"

// The candidates come from what the agent permits, so that the cost does not
// grow with the registry; it is the rule of relationOf for each of them.
const peersAfter = `
WITH me AS (SELECT id, provider_id FROM agents WHERE id = ?1 AND status = 'active'),
     candidates AS (
       SELECT p.target_id AS id FROM permissions p JOIN me ON p.agent_id = me.id WHERE p.kind = 'allow_agent'
       UNION
       SELECT a.id FROM permissions p JOIN me ON p.agent_id = me.id JOIN agents a ON a.provider_id = p.target_id WHERE p.kind = 'allow_provider')
SELECT a.id, a.name, a.endpoint, a.description, a.capabilities
FROM candidates c JOIN agents a ON a.id = c.id JOIN me ON a.id <> me.id
WHERE a.id > ?2 AND a.status = 'active'
  AND EXISTS (SELECT 1 FROM permissions WHERE agent_id = a.id
              AND (kind = 'allow_agent' AND target_id = me.id OR kind = 'allow_provider' AND target_id = me.provider_id))
ORDER BY a.id LIMIT ?3`

// peersOf lists, by their ids, other agents that the given one may talk to, with
// what they let others know. It ends after limit agents or size bytes, the
// last one included, and says whether there are more.
func (s *store) peersOf(ctx context.Context, id, after string, limit, size int) (list []agent, more bool, err error) {
	rows, err := s.read.QueryContext(ctx, peersAfter, id, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		if len(list) == limit || size <= 0 {
			return list, true, nil
		}
		var a agent
		if err := rows.Scan(&a.id, &a.name, &a.endpoint, &a.description, &a.capabilities); err != nil {
			return nil, false, err
		}
		size -= len(a.id) + len(a.name) + len(a.endpoint) + len(a.description) + len(a.capabilities)
		list = append(list, a)
	}
	return list, false, rows.Err()
}
