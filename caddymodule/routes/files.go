package routes

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
)

// served are files on the way of requests: by whom, from which directory, behind
// which gates.
type served struct {
	*fileserver.FileServer
	tree      *tree
	at        scope
	files     string // as filesOf has it
	root      string // absolute, "" where it can't be told
	gates     []gateOnTheWay
	rewritten bool
}

// serve notes a file server.
func (c *course) serve(s *step, here stretch) {
	files, ok := s.handler.(*fileserver.FileServer)
	if !ok {
		return
	}
	one := served{FileServer: files, tree: c.tree, at: s.at, files: filesOf(files, here.root), rewritten: here.rewritten || s.at.rewritten}
	for _, g := range here.gates {
		if g.at.meets(s.at) {
			one.gates = append(one.gates, g)
		}
	}
	root := strings.TrimPrefix(one.files, "files:")
	if !strings.HasSuffix(root, string(unknownRoot)) {
		if abs, err := filepath.Abs(root); err == nil {
			one.root = abs
		}
	}
	c.served = append(c.served, one)
}

// files finds file servers that serve what a gate for a path guards under another
// path: by a root above or below the guarded directory, or by an index page in it.
func (c *course) files() (all []Finding) {
	for _, in := range c.served {
		for _, g := range in.gates {
			if in.root == "" || in.rewritten {
				continue
			}
			for _, top := range g.tops(in.at.paths) {
				dir := filepath.Join(in.root, filepath.FromSlash(top))
				for _, out := range c.served {
					if f, ok := out.opens(g.Gate, top, dir); ok && !slices.Contains(all, f) {
						all = append(all, f)
					}
				}
			}
		}
	}
	return all
}

// opens tells whether the file server serves dir, which the gate guards as top,
// where the gate does not look.
func (s served) opens(g *Gate, top, dir string) (Finding, bool) {
	if s.root == "" {
		return Finding{}, false
	}
	below, isBelow := inside(s.root, dir) // where dir is seen from outside
	_, isIn := inside(dir, s.root)
	if at, name := path.Split(top); slices.Contains(s.IndexNames, name) && filepath.Join(s.root, filepath.FromSlash(top)) == dir && s.isOpen(at) {
		return Finding{
			fmt.Sprintf("the gate at %s guards %s, and file_server at %s shows the same file as the index page of %s", g, top, s.at, at),
			fmt.Sprintf("guard the directory: gatehouse %s* <who>, or give the file another name", at),
			g,
		}, true
	}
	for _, index := range s.IndexNames {
		page := path.Join("/", filepath.ToSlash(index))
		if _, is := inside(dir, filepath.Join(s.root, page)); is && strings.Contains(strings.Trim(page, "/"), "/") && s.isOpen("/") {
			return Finding{
				fmt.Sprintf("the gate at %s guards %s, and file_server at %s shows %s of it as the index page of /", g, top, s.at, page),
				"name an index page that stands in the directory itself",
				g,
			}, true
		}
	}
	at := ""
	switch {
	case isIn && s.root != dir || isIn && s.isOpen("/"):
		at = "/"
	case isBelow:
		at = below
	}
	if at == "" || !s.isOpen(at) {
		return Finding{}, false
	}
	if s.rewritten {
		at = "another path, which is rewritten"
	}
	return Finding{
		fmt.Sprintf("the gate at %s guards %s, and file_server at %s serves the same files (%s) under %s, past the gates", g, top, s.at, dir, at),
		"give each file_server a root of its own beside the other, or guard that path as well",
		g,
	}, true
}

// isOpen tells whether a request for what is below at may get here past every
// gate. Where the path is rewritten on the way, what gates see of it is not known.
func (s served) isOpen(at string) bool {
	below := strings.TrimSuffix(at, "/") + "/gatehouse-sample"
	guards := func(g *Gate) bool { return len(g.Matchers) == 0 && g.Guarded.matchPath(below) }
	if s.rewritten {
		return !slices.ContainsFunc(s.gates, func(g gateOnTheWay) bool { return guards(g.Gate) })
	}
	host := "gatehouse-sample"
	if len(s.at.hosts) > 0 {
		host = strings.ReplaceAll(s.at.hosts[0], "*", host)
	}
	return slices.ContainsFunc(follow(s.tree, host, below).apps, func(to behind) bool {
		return to.files == s.files && !slices.ContainsFunc(to.gates, guards)
	})
}

// inside tells whether dir is root or below it, and the path from there.
func inside(root, dir string) (at string, ok bool) {
	rel, err := filepath.Rel(root, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return path.Join("/", filepath.ToSlash(rel)), true
}
