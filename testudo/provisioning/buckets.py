"""Buckets, through Cloud Storage's client (which STORAGE_EMULATOR_HOST leads)."""

from collections.abc import Sequence

from google.api_core.exceptions import NotFound
from google.cloud import storage

from testudo.provisioning.provider import Provider, differences, fixed, needs_role
from testudo.provisioning.resources import Fields, Resource

ROLE = needs_role("roles/storage.admin")
AT_CREATION = ("location",)


def bucket_provider(project: str) -> Provider:
    """A bucket's name says nothing of its project, so the provider is made for one."""

    def read(resource: Resource) -> Fields | None:
        with storage.Client(project=project) as client:
            try:
                found: Fields = client.get_bucket(resource.name)._properties
            except NotFound:
                return None
            return found

    def create(resource: Resource) -> None:
        with storage.Client(project=project) as client:
            made = client.create_bucket(
                _bucket(client, resource, list(resource.fields)),
                location=resource.fields.get("location"),
            )
            left = [each.field for each in differences(resource.fields, made._properties)]
            if left:  # Google's takes all fields at once; the local stack's none
                _bucket(client, resource, left).patch()

    def change(resource: Resource, fields: Sequence[str]) -> None:
        with storage.Client(project=project) as client:
            _bucket(client, resource, fields).patch()

    reasons = {
        "location": "a bucket stays where it is: name another bucket, and copy what is in it"
    }
    return Provider(read, create, change, ROLE, fixed(reasons))


def _bucket(client: storage.Client, resource: Resource, fields: Sequence[str]) -> storage.Bucket:
    """The bucket with these fields to be sent; a rule is one object, and is sent whole."""
    bucket = client.bucket(resource.name)
    for name in fields:
        if name not in AT_CREATION:
            bucket._patch_property(name, resource.fields[name])
    return bucket
