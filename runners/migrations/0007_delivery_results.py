"""Deliveries that were taken in before results were kept."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def fill(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    delivery = apps.get_model("runners", "Delivery")
    done = delivery.objects.filter(processed_at__isnull=False)
    done.filter(outcome="job changed").update(result="changed")
    done.exclude(outcome="job changed").update(result="nothing")


class Migration(migrations.Migration):
    dependencies = [("runners", "0006_demand")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
