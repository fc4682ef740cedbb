"""The one preferred site becomes the first of a list."""

from django.db import migrations


def to_list(apps, schema_editor):
    Pool = apps.get_model("runners", "Pool")
    for pool in Pool.objects.exclude(site=""):
        pool.sites = [pool.site]
        pool.save(update_fields=["sites"])


def to_one(apps, schema_editor):
    Pool = apps.get_model("runners", "Pool")
    for pool in Pool.objects.exclude(sites=[]):
        pool.site = pool.sites[0]
        pool.save(update_fields=["site"])


class Migration(migrations.Migration):

    dependencies = [
        ("runners", "0008_pool_policy"),
    ]

    operations = [
        migrations.RunPython(to_list, to_one),
    ]
