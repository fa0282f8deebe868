package tools

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// published are the modules whose manifests the platform applies: in the version
// of the go.mod beside the programs, or in one that is said.
var published = map[string]struct{ folder, module string }{
	"kratix":         {"kratix", "github.com/syntasso/kratix"},
	"argocd":         {"argocd", "github.com/argoproj/argo-cd/v3"},
	"sealed-secrets": {"..", "github.com/bitnami-labs/sealed-secrets"},
	"traefik":        {"traefik", "github.com/traefik/traefik/v3"},
	"gateway-api":    {"..", "sigs.k8s.io/gateway-api@v1.6.3"}, // Traefik's own is older
}

// Sources returns the folders of the modules whose manifests are applied. Source is
// the folder of this package.
func Sources(source string) (map[string]string, error) {
	folders := map[string]string{}
	for name, p := range published {
		folder, err := download(filepath.Join(source, p.folder), p.module)
		if err != nil {
			return nil, err
		}
		folders[name] = folder
	}
	return folders, nil
}

// download returns the folder of a module, in the version of the go.mod in dir.
func download(dir, module string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = dir
	out, err := cmd.Output()
	answer := struct{ Dir, Error string }{}
	if jsonErr := json.Unmarshal(out, &answer); jsonErr != nil || answer.Dir == "" {
		return "", fmt.Errorf("%s cannot be downloaded: %v %s", module, err, answer.Error)
	}
	return answer.Dir, nil
}
