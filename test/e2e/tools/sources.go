package tools

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// published are the modules whose manifests the platform applies.
var published = map[string]string{
	"kratix":         "github.com/syntasso/kratix@v0.125.1-0.20250807132634-605d221cdabc",
	"argocd":         "github.com/argoproj/argo-cd/v3@v3.5.7",
	"sealed-secrets": "github.com/bitnami-labs/sealed-secrets@v0.36.6",
	"traefik":        "github.com/traefik/traefik/v3@v3.6.12",
	"gateway-api":    "sigs.k8s.io/gateway-api@v1.6.3",
}

// Sources returns the folders of the modules whose manifests are applied.
func Sources() (map[string]string, error) {
	folders := map[string]string{}
	for name, module := range published {
		cmd := exec.Command("go", "mod", "download", "-json", module)
		cmd.Dir = os.TempDir() // of no module, so that no go.mod has a say
		out, err := cmd.Output()
		answer := struct{ Dir, Error string }{}
		if jsonErr := json.Unmarshal(out, &answer); jsonErr != nil || answer.Dir == "" {
			return nil, fmt.Errorf("%s cannot be downloaded: %v %s", module, err, answer.Error)
		}
		folders[name] = answer.Dir
	}
	return folders, nil
}
