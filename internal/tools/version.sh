#!/usr/bin/env bash
# Prints the version of what is built here, for a release that is called $1: that of
# the release where its tag is at this very commit, and that of the commit everywhere
# else, with a digest of what is changed and not committed of the sources. Kratix keeps
# one revision of a Promise for each version, so two commits must not share one.
set -euo pipefail
cd "$(dirname "$0")/../.."
release=$1 sources=(cmd images internal pipelines promises go.mod go.sum)
if [ ! -e .git ]; then # the archive of a release
  echo "$release"
  exit
fi
commit=$(git rev-parse --verify --quiet 'HEAD^{commit}')
changes=$(git status --porcelain --untracked-files=all -- "${sources[@]}")
if [ -z "$changes" ] && [ "$(git rev-parse --verify --quiet "refs/tags/$release^{commit}" || true)" = "$commit" ]; then
  echo "$release"
  exit
fi
at=$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)
version=$release-$at-${commit:0:12}
if [ -n "$changes" ]; then
  digest=$({ echo "$changes" && git diff HEAD -- "${sources[@]}" && git ls-files -zo --exclude-standard -- "${sources[@]}" | xargs -0r cat --; } | git hash-object --stdin)
  version=$version-dirty-${digest:0:8}
fi
echo "$version"
