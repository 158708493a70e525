"""A stand-in of the hub's endpoints that an upload needs, on a port here; it keeps what it is sent."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
import yaml
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

TOKEN = "hf_stand_in"


class Hub:
    """``files`` are by repository and path, as they came; ``private`` by repository."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.url = ""
        self.app = FastAPI()
        for method, path, handler in (
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/repos/create", self.create),
            ("POST", "/api/validate-yaml", self.validate),
            ("POST", "/api/models/{owner}/{name}/preupload/{revision}", self.preupload),
            ("POST", "/{owner}/{name}.git/info/lfs/objects/batch", self.batch),
            ("PUT", "/large/{oid}", self.put),
            ("POST", "/large/{oid}/verify", self.verify),
            ("POST", "/api/models/{owner}/{name}/commit/{revision}", self.commit),
        ):
            self.app.add_api_route(path, handler, methods=[method])

    def _known(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise HTTPException(401, "no such token")

    async def whoami(self, request: Request) -> Any:
        self._known(request)
        return {"name": "somebody", "type": "user"}

    async def create(self, request: Request) -> Any:
        self._known(request)
        asked = await request.json()
        owner = asked.get("organization") or "somebody"
        if owner != "somebody":
            raise HTTPException(403, "not yours")
        repository = f"{owner}/{asked['name']}"
        if repository in self.files:
            return JSONResponse({"error": "exists", "url": f"{self.url}/{repository}"}, 409)
        self.files[repository] = {}
        self.private[repository] = bool(asked.get("private")) or asked.get("visibility") == "private"
        return {"url": f"{self.url}/{repository}", "id": repository}

    async def validate(self, request: Request) -> Any:
        front = (await request.json())["content"].split("---")[1]
        return {"errors": [], "warnings": []} if yaml.safe_load(front) else {"errors": [{"message": "none"}]}

    async def preupload(self, request: Request, owner: str, name: str, revision: str) -> Any:
        self._known(request)
        asked = await request.json()
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in asked["files"]
            ]
        }

    async def batch(self, request: Request, owner: str, name: str) -> Any:
        self._known(request)
        asked = await request.json()
        return {
            "transfer": "basic",
            "objects": [
                {
                    **one,
                    "actions": {
                        "upload": {"href": f"{self.url}/large/{one['oid']}"},
                        "verify": {"href": f"{self.url}/large/{one['oid']}/verify"},
                    },
                }
                for one in asked["objects"]
            ],
        }

    async def put(self, request: Request, oid: str) -> Any:
        self.large[oid] = await request.body()
        return {}

    async def verify(self, oid: str) -> Any:
        return {"stored": oid in self.large}

    async def commit(self, request: Request, owner: str, name: str, revision: str) -> Any:
        self._known(request)
        kept = self.files[f"{owner}/{name}"]
        for line in (await request.body()).decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                kept[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                kept[value["path"]] = self.large[value["oid"]]
        return {"commitUrl": f"{self.url}/{owner}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40}


@contextmanager
def hub() -> Iterator[Hub]:
    """The stand-in, answering at ``url`` until the block ends."""
    made = Hub()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(made.app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield made
    finally:
        server.should_exit = True
        thread.join(10)
